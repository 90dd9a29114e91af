"""A network evaluated on collections of places: who counts, what is correct, what is written down."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from netvlad_core.data.place_sets.place_set import PlaceImages, PlaceSet
from netvlad_core.data.place_sets.recognise import open_place_set
from netvlad_core.errors import SourceError
from netvlad_core.evaluation.failures import worst_failures
from netvlad_core.evaluation.place_recognition import evaluate_place_set
from netvlad_core.model.extractor import Extractor
from support.place_sets import at_name, write_street_set
from support.street import street, view, write_view

FRONTS = street(seed=1, metres=80)
METRES = tuple(range(0, 80, 8))


def plain_set(folder: Path, **columns: object) -> PlaceSet:
    """The street without positions; the query is at 33 m."""
    for x in METRES:
        write_view(folder / "database" / f"{x:02d}.png", FRONTS, x)
    write_view(folder / "queries" / "33.png", FRONTS, 33)
    database = PlaceImages(
        folder / "database", [f"{x:02d}.png" for x in METRES], groups=columns.pop("groups", None)
    )
    return PlaceSet("street", "", database, PlaceImages(folder / "queries", ["33.png"]), **columns)


def test_broken_images_are_left_out_and_named(tmp_path: Path, extractor: Extractor) -> None:
    write_street_set(tmp_path)
    broken = [tmp_path / "database" / at_name(32, 0), tmp_path / "queries" / at_name(1, 0)]
    for path in broken:
        path.write_bytes(b"\xff\xd8 cut off")
    result = evaluate_place_set(open_place_set(tmp_path), extractor, within=5)
    assert set(result.left_out) == {str(path) for path in broken}
    assert (len(result.places.database), len(result.places.queries)) == (9, 3)
    assert result.recall.has_positive.tolist() == [False, True, False]  # the place at 33 m has lost its image
    assert result.places.database.names[result.ranked[1][0]] == at_name(16, 0)


def test_a_panorama_counts_once(tmp_path: Path, extractor: Extractor) -> None:
    """The query looks like the images at 32 and 40 m; the correct one is of another panorama."""
    groups = np.array(["a", "b", "c", "d", "near", "near", "near", "e", "f", "g"])
    truth = [np.array([7])]
    alone = evaluate_place_set(plain_set(tmp_path, groups=groups, correct=truth), extractor)
    once = evaluate_place_set(
        plain_set(tmp_path, groups=groups, correct=truth, group_counts_once=True), extractor
    )
    assert alone.ranked[0][0] == once.ranked[0][0] == 4
    assert groups[once.ranked[0]].tolist().count("near") == 1
    assert len(once.ranked[0]) == 8
    assert once.recall.first_correct[0] == alone.recall.first_correct[0] - sum(
        groups[row] == "near" for row in alone.ranked[0][1 : int(alone.recall.first_correct[0])]
    )


def test_junk_has_no_rank(tmp_path: Path, extractor: Extractor) -> None:
    clean = evaluate_place_set(plain_set(tmp_path, correct=[np.array([3])]), extractor)
    best = clean.ranked[0][:2]
    places = plain_set(tmp_path, correct=[best[1:]], ignored=[best[:1]])
    result = evaluate_place_set(places, extractor)
    assert result.ranked[0].tolist() == clean.ranked[0][1:].tolist()
    assert result.mean_average_precision() == 1.0


def test_regions_are_cut_out(tmp_path: Path, extractor: Extractor) -> None:
    """A query whose region is the image at 33 m, beside a view of the other end of the street."""
    places = plain_set(tmp_path, correct=[np.array([4])])
    both = np.concatenate([view(FRONTS, 79), view(FRONTS, 32)], axis=1)
    cv2.imwrite(str(tmp_path / "queries" / "33.png"), both[..., ::-1])
    region = PlaceImages(tmp_path / "queries", ["33.png"], regions=np.array([[160, 0, 320, 120]]))
    result = evaluate_place_set(PlaceSet("", "", places.database, region, correct=places.correct), extractor)
    assert result.ranked[0][0] == 4
    np.testing.assert_allclose(result.similarities[0][0], 1.0, atol=1e-5)


def test_one_image_and_one_query(tmp_path: Path, extractor: Extractor) -> None:
    whole = plain_set(tmp_path, correct=[np.array([4])])
    result = evaluate_place_set(whole.with_images(np.array([4]), np.array([0])), extractor)
    assert result.recall.at(among=result.recall.has_positive) == {1: 1.0, 5: 1.0, 10: 1.0, 20: 1.0}
    result = evaluate_place_set(whole.with_images(np.array([3]), np.array([0])), extractor)
    assert result.recall.at(among=np.array([True]))[20] == 0.0
    assert worst_failures(result, 5) == []


def test_what_cannot_be_evaluated(tmp_path: Path, extractor: Extractor) -> None:
    places = plain_set(tmp_path)
    with pytest.raises(SourceError, match="neither positions nor labels nor a ground-truth file"):
        evaluate_place_set(places, extractor)
    with pytest.raises(SourceError, match="has no queries"):
        evaluate_place_set(places.with_images(np.arange(10), np.arange(0)), extractor)
    (tmp_path / "queries" / "33.png").unlink()
    with pytest.raises(
        SourceError, match=r"no image of street can be read, e\.g\. cannot read the image .*33"
    ):
        evaluate_place_set(replace(places, correct=[np.array([0])]), extractor)
