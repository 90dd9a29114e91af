"""Local features in a map: the same answers without images, what it has taught, and damage that is told."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.errors import MapError, NetvladError
from netvlad_core.geometry.features import KINDS
from netvlad_core.geometry.packing import PackedFeatures, StoredFeatures
from netvlad_core.localization.geometry.verification_options import VerificationOptions
from netvlad_core.localization.localizer import Localizer
from netvlad_core.localization.localizer_options import LocalizerOptions
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.care.parts import Part, write_parts
from netvlad_core.mapping.care.split import strip_images
from netvlad_core.mapping.care.validation import faults_of
from netvlad_core.mapping.map_header import FEATURE_FILES
from netvlad_core.mapping.place_features import learn
from netvlad_core.mapping.place_geometry import PlaceGeometry
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.places import Places
from netvlad_core.model.extractor import Extractor
from support.street import street, view, write_catalogue

_OPTIONS = LocalizerOptions(verification=VerificationOptions())


def _build(folder: Path, options: BuildOptions, metres: range = range(0, 80, 4)) -> PlaceMap:
    catalogue = write_catalogue(folder / "drive", street(seed=1, metres=80), metres)
    return build_map(CatalogueSource.from_csv(catalogue), folder / "map", options, progress=False)


def test_answers_are_the_same_without_images(
    features_map: PlaceMap, checkpoint: Path, extractor: Extractor, tmp_path: Path
) -> None:
    options = BuildOptions(weights=checkpoint, device="cpu", store_images="full", store_features="rootsift")
    with_images = _build(tmp_path, options, range(0, 80, 2))
    assert with_images.images is not None
    assert features_map.images is None
    assert with_images.features.likelihood == features_map.features.likelihood
    images = [view(street(seed=1, metres=80), x, gain) for x in (11.0, 30.5, 62.0) for gain in (0.3, 0.9)]
    images.append(view(street(seed=2, metres=80), 12.0))
    one, other = (
        [Localizer(m, extractor, _OPTIONS)(image) for image in images] for m in (with_images, features_map)
    )
    for ours, theirs in zip(one, other, strict=True):
        for match, same in zip(ours.matches, theirs.matches, strict=True):
            assert (match.place, match.inliers, match.score) == (same.place, same.inliers, same.score)
        assert (ours.state, ours.confidence) == (theirs.state, theirs.confidence)
    assert max(match.log_ratio or 0 for match in other[1].matches) > 3
    assert max(match.log_ratio or 0 for match in other[-1].matches) < 3


def test_both_kinds_of_evidence_are_never_less_than_similarity(
    features_map: PlaceMap, extractor: Extractor
) -> None:
    with_geometry = Localizer(features_map, extractor, _OPTIONS)
    without = Localizer(features_map, extractor, LocalizerOptions(verification=None))
    for x in range(1, 79, 6):
        image = view(street(seed=1, metres=80), x, 0.5)
        plain, both = without(image), with_geometry(image)
        assert both.confidence >= plain.confidence
        assert both.prior is not None or plain.prior is None
        assert abs(2 * both.matches[0].place - x) <= 2


def test_more_features_of_an_image_leave_the_inliers_as_they_are(
    features_map: PlaceMap, extractor: Extractor
) -> None:
    """A map has taught what inliers are worth with as many features as it keeps."""
    localizer = Localizer(features_map, extractor, _OPTIONS)
    image = view(street(seed=1, metres=80), 31.0, 0.5)
    few, many = (
        replace(localizer.observe, features=count)(image, 0)
        for count in (KINDS["rootsift"].stored, 2 * KINDS["rootsift"].stored)
    )
    assert few.features is not None
    assert many.features is not None
    assert len(few.features) < len(many.features)
    for one, other in zip(localizer.locate(few).matches, localizer.locate(many).matches, strict=True):
        assert (one.place, one.inliers, one.log_ratio) == (other.place, other.inliers, other.log_ratio)
    assert len(localizer.common_points(few, one.place)) == len(localizer.common_points(many, one.place))


def test_map_of_a_short_corridor_learns_from_its_other_end(features_map: PlaceMap) -> None:
    """Every third place of 80 m, as if a pace were shorter."""
    rows = np.arange(0, len(features_map), 3)
    stored = features_map.features
    assert stored is not None
    stored = replace(stored, rows=[stored.rows[row] for row in rows.tolist()])
    taught = []
    for shorter in (4, 10):
        poses = features_map.poses[rows] / ([shorter] * 3 + [1] * 4)
        places = Places(features_map.descriptors[rows], features_map.stamps[rows], poses, features=stored)
        taught.append(learn(PlaceGeometry(places), places.descriptors))
    assert taught[0] is not None
    assert taught[1] is None, "within 8 m everything may be in one picture"


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_bounded_and_whole(kind: str, checkpoint: Path, tmp_path: Path) -> None:
    options = BuildOptions(weights=checkpoint, device="cpu", store_images="thumbnail", store_features=kind)
    place_map = _build(tmp_path, options, range(0, 80, 16))
    assert place_map.features.kind == kind
    assert (
        place_map.header.version == 2 or json.loads((place_map.path / "map.json").read_text())["version"] == 4
    )
    for place in range(len(place_map)):
        stored = place_map.stored_features(place)
        assert 0 < len(stored.features) <= KINDS[kind].stored
        assert stored.points is not None
        np.testing.assert_array_equal(place_map.image(place).shape, (120, 160, 3))
    assert place_map.features.likelihood is None, "five places are too few to teach"


def test_a_map_without_features_is_what_it_was(street_map: PlaceMap) -> None:
    assert street_map.features is None
    assert street_map.stored_features(0) is None
    assert not FEATURE_FILES & street_map.header.files.keys()
    assert json.loads((street_map.path / "map.json").read_text())["version"] == 2


def test_unknown_kind_is_refused_before_anything_is_done(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(NetvladError, match="there are: auto, none, rootsift, xfeat"):
        _build(tmp_path, BuildOptions(weights=checkpoint, store_features="orb"))
    assert not (tmp_path / "map").exists()


def test_points_are_those_that_the_features_give(
    evening_street: tuple[PlaceMap, list], tmp_path: Path
) -> None:
    """Triangulated when the map is built, in the frame of each place, and carried with it."""
    from netvlad_core.mapping.map_source import MapSource

    source = MapSource(evening_street[0])
    options = BuildOptions(
        weights=evening_street[0].network_path, device="cpu", store_images="full", store_features="rootsift"
    )
    made = build_map(source, tmp_path / "map", options, progress=False)
    of_map = PlaceGeometry(made)
    unfinished = PlaceMap.open(made.path)
    rows = [PackedFeatures(made.stored_features(place).features).pack() for place in range(len(made))]
    unfinished.features = StoredFeatures("rootsift", rows)
    place = len(made) // 2
    stored, found = of_map.points_of(place), PlaceGeometry(unfinished).points_of(place)
    assert np.isfinite(stored[:, 0]).sum() > 20
    near = np.linalg.norm(found - made.poses[place, :3], axis=1) < 50
    np.testing.assert_allclose(stored[near], found[near], atol=0.2)
    turned = Part.of(made, joint=made.pose(3).inverse())
    moved = write_parts([turned], tmp_path / "moved", "merge", 0)
    again = PlaceGeometry(moved).points_of(place)
    expected = made.pose(3).rotation.inv().apply(stored - made.pose(3).position)
    np.testing.assert_allclose(again, expected, atol=1e-3)


def test_care_keeps_features_of_one_kind_and_teaches_anew(
    features_map: PlaceMap, street_map: PlaceMap, tmp_path: Path
) -> None:
    half = write_parts([Part.of(features_map, np.arange(0, 40, 2))], tmp_path / "half", "prune", 0)
    assert half.features.rows[3] == features_map.features.rows[6]
    assert half.features.likelihood is not None
    mixed = write_parts([Part.of(features_map), Part.of(street_map)], tmp_path / "mixed", "merge", 0)
    assert mixed.features is None
    bare = strip_images(features_map, tmp_path / "bare")
    assert not {path.name for path in bare.path.iterdir()} & FEATURE_FILES, (
        "images can be guessed of features"
    )
    for made in (half, mixed, bare):
        assert list(faults_of(made.path)) == []


@pytest.mark.parametrize("name", sorted(FEATURE_FILES))
def test_damage_is_told(name: str, features_map: PlaceMap, tmp_path: Path) -> None:
    damaged = tmp_path / "map"
    shutil.copytree(features_map.path, damaged)
    content = bytearray((damaged / name).read_bytes())
    content[len(content) // 2] ^= 1
    (damaged / name).write_bytes(content)
    with pytest.raises(MapError, match=name):
        PlaceMap.open(damaged, verify=True)
    assert any(name in fault for fault in faults_of(damaged))
    (damaged / name).unlink()
    with pytest.raises(MapError, match=name):
        PlaceMap.open(damaged)


def test_rows_that_are_none_are_told_with_their_place(features_map: PlaceMap) -> None:
    rows = [*features_map.features.rows]
    rows[7] = rows[7][:-1]
    opened = PlaceMap.open(features_map.path)
    assert opened.features is not None
    opened.features = replace(opened.features, rows=rows)
    with pytest.raises(MapError, match=r"place 7 in .*features\.bin"):
        opened.stored_features(7)


def test_killed_build_continues_to_the_same_features(
    checkpoint: Path, features_map: PlaceMap, tmp_path: Path
) -> None:
    catalogue = CatalogueSource.from_csv(
        write_catalogue(tmp_path / "drive", street(seed=1, metres=80), range(0, 80, 2))
    )

    class Stopping:
        def __getattr__(self, name: str) -> object:
            return getattr(catalogue, name)

        def __len__(self) -> int:
            return len(catalogue)

        def __iter__(self):
            for number, frame in enumerate(catalogue):
                if number == 25:
                    raise KeyboardInterrupt
                yield frame

    options = BuildOptions(
        weights=checkpoint, device="cpu", store_images="full", store_features="rootsift", batch_size=4
    )
    with pytest.raises(KeyboardInterrupt):
        build_map(Stopping(), tmp_path / "map", options, progress=False)
    made = build_map(catalogue, tmp_path / "map", options, progress=False)
    assert [*made.features.rows] == [*features_map.features.rows]
    assert made.image(39).shape == (120, 160, 3)
