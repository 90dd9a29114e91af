"""What a build does with its source, its options and its output folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import pytest

from netvlad_core.cli import main
from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.data.images import encode_jpeg
from netvlad_core.errors import MapError, SourceError
from netvlad_core.files import replace_directory
from netvlad_core.localization.localizer import Localizer
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.keyframes import KeyframeRule
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.model.backbones import PACKAGED_NETWORK
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.open_engine import ENGINES
from support.street import HEIGHT, WIDTH, street, view, write_catalogue

_PLACES = 12


@pytest.fixture
def drive(tmp_path: Path) -> CatalogueSource:
    catalogue = write_catalogue(tmp_path / "drive", street(seed=4, metres=30), range(0, 2 * _PLACES, 2))
    return CatalogueSource.from_csv(catalogue)


@pytest.fixture
def options(checkpoint: Path) -> BuildOptions:
    return BuildOptions(weights=checkpoint, device="cpu", store_features="none")


def _build(source: CatalogueSource, output: Path, options: BuildOptions) -> PlaceMap:
    return build_map(source, output, options, progress=False)


def test_places_carry_what_the_source_says(
    drive: CatalogueSource, options: BuildOptions, tmp_path: Path
) -> None:
    drive.origin = [48.1, 11.5, 500.0]
    place_map = _build(drive, tmp_path / "map", options)
    assert place_map.header.origin == drive.origin
    assert len(place_map) == _PLACES
    np.testing.assert_allclose(place_map.poses[:, 0], 2.0 * np.arange(_PLACES))
    np.testing.assert_array_equal(place_map.stamps, (100 + np.arange(_PLACES)) * 10**9)
    assert place_map.names == [f"{index:03}.png" for index in range(_PLACES)]
    assert place_map.header.spacing == 2.0
    described = Localizer.open(place_map.path).extractor(view(street(seed=4, metres=30), 6.0))[0]
    np.testing.assert_allclose(place_map.descriptors[3], described, rtol=1e-3, atol=1e-5)  # float16


@pytest.mark.parametrize(
    ("storage", "size"), [("none", None), ("thumbnail", (120, 160)), ("full", (HEIGHT, WIDTH))]
)
def test_stored_images(
    storage: str, size: tuple[int, int] | None, drive: CatalogueSource, options: BuildOptions, tmp_path: Path
) -> None:
    place_map = _build(drive, tmp_path / "map", replace(options, store_images=storage))
    image = place_map.image(5)
    if size is None:
        assert image is None
        assert not list(place_map.path.glob("image*"))
    else:
        assert image is not None
        assert image.shape[:2] == size
        truth = view(street(seed=4, metres=30), 10.0).astype(float)
        assert np.abs(image - truth).mean() < 20  # it is the place's own image, with JPEG's losses


def test_the_same_drive_gives_the_same_map(drive: CatalogueSource, tmp_path: Path) -> None:
    """The fitted network too: provenance is worth nothing if it cannot be repeated."""
    options = BuildOptions(device="cpu", store_features="none")
    maps = [_build(drive, tmp_path / name / "map", options) for name in ("a", "b")]
    assert maps[0].header == maps[1].header
    assert maps[0].header.weights is None
    assert Localizer.open(tmp_path / "a" / "map")(view(street(seed=4, metres=30), 6.0)).matches[0].place == 3


def test_fitted_network_lies_in_the_map_for_every_engine(drive: CatalogueSource, tmp_path: Path) -> None:
    options = BuildOptions(device="cpu", precision="float32", store_features="none")
    place_map = _build(drive, tmp_path / "map", options)
    assert {"model.safetensors", "model.float32.onnx"} <= place_map.header.files.keys()
    stated = place_map.header.files["model.float32.onnx"]
    assert main(["export", str(place_map.path), "--quiet"]) == 0
    assert PlaceMap.open(place_map.path, verify=True).header.files["model.float32.onnx"] == stated
    image = view(street(seed=4, metres=30), 6.0)
    found = [
        Extractor.load(place_map.network_path, "cpu", precision="float32", engine=engine)(image)[0]
        for engine in ENGINES
    ]
    assert place_map.open_extractor().model_id == place_map.header.model_id
    assert min(float(one @ other) for one in found for other in found) > 0.999


def test_more_places_than_numbers_are_reduced_and_answer_alike(
    drive: CatalogueSource, options: BuildOptions, tmp_path: Path
) -> None:
    whole = _build(drive, tmp_path / "whole", options)
    reduced = _build(drive, tmp_path / "reduced", replace(options, dimension=_PLACES - 2))
    assert whole.directions is None
    assert reduced.descriptors.shape == (_PLACES, _PLACES - 2)
    assert reduced.header.model_id == whole.header.model_id
    assert reduced.header.similarity_threshold == pytest.approx(whole.header.similarity_threshold, abs=0.05)
    for x in (4.2, 10.2, 18.2):
        image = view(street(seed=4, metres=30), x)
        one, other = (Localizer.open(m.path, device="cpu")(image) for m in (whole, reduced))
        assert (one.state, one.place, len(other.descriptor)) == (
            other.state,
            other.place,
            len(one.descriptor),
        )
        assert one.confidence == pytest.approx(other.confidence, abs=0.05)


def test_maps_share_directions_and_network(drive: CatalogueSource, checkpoint: Path, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((5, Extractor.load(checkpoint, "cpu").dimension))
    directions = np.linalg.qr(rows.T)[0].T.astype(np.float32)
    np.save(tmp_path / "directions.npy", directions)
    options = BuildOptions(weights=checkpoint, device="cpu", dimension=0, store_features="none")
    whole = build_map(drive, tmp_path / "whole", options, progress=False)
    shared = replace(options, directions=tmp_path / "directions.npy", keep_network=True)
    reduced = build_map(drive, tmp_path / "reduced", shared, progress=False)
    np.testing.assert_allclose(reduced.directions, directions, atol=1e-3)
    np.testing.assert_allclose(reduced.descriptors[:], whole.descriptors[:] @ directions.T, atol=2e-3)
    assert (whole.header.weights, reduced.header.weights) == (str(checkpoint.resolve()), None)
    assert (reduced.path / "model.safetensors").read_bytes() == checkpoint.read_bytes()


def test_a_map_of_the_package_s_network_works_where_the_package_lies_elsewhere(
    drive: CatalogueSource, tmp_path: Path
) -> None:
    options = BuildOptions(weights=PACKAGED_NETWORK, device="cpu", store_features="none")
    place_map = build_map(drive, tmp_path / "map", options, progress=False)
    assert place_map.header.weights is None
    assert place_map.network_path.read_bytes() == PACKAGED_NETWORK.read_bytes()
    assert place_map.open_extractor(device="cpu").model_id == place_map.header.model_id


def test_broken_images_are_counted_and_left_out(
    drive: CatalogueSource, options: BuildOptions, tmp_path: Path
) -> None:
    (tmp_path / "drive" / "002.png").write_bytes(b"")
    (tmp_path / "drive" / "007.png").write_bytes((tmp_path / "drive" / "007.png").read_bytes()[:300])
    place_map = _build(drive, tmp_path / "map", options)
    assert len(place_map) == _PLACES - 2
    assert sum(place_map.header.skipped.values()) == 2
    assert "002.png" not in place_map.names


def test_drive_of_broken_images_gives_no_map(
    drive: CatalogueSource, options: BuildOptions, tmp_path: Path
) -> None:
    for path in (tmp_path / "drive").glob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(SourceError, match=r"no image of .* could be used"):
        _build(drive, tmp_path / "map", options)
    assert not (tmp_path / "map").exists()


def test_other_options_do_not_continue_the_work_of_the_first(
    drive: CatalogueSource, options: BuildOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("netvlad_core.mapping.builder._write_map", stop)
        with pytest.raises(KeyboardInterrupt):
            _build(drive, tmp_path / "map", options)
    journal = tmp_path / ".map.partial" / "journal.jsonl"
    assert len(journal.read_text().splitlines()) == _PLACES
    place_map = _build(drive, tmp_path / "map", replace(options, keyframes=KeyframeRule(5.0, None)))
    assert list(place_map.poses[:, 0]) == [0, 6, 12, 18]
    assert not journal.parent.exists()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_no_map_is_left_alone(
    kind: str, drive: CatalogueSource, options: BuildOptions, tmp_path: Path
) -> None:
    output = tmp_path / "holiday"
    precious = output if kind == "file" else output / "photo.jpg"
    precious.parent.mkdir(exist_ok=True)
    precious.write_text("precious")
    with pytest.raises(MapError, match="is no map; it is left alone"):
        _build(drive, output, options)
    assert precious.read_text() == "precious"


def test_map_is_readable_while_it_is_replaced(
    drive: CatalogueSource, options: BuildOptions, tmp_path: Path
) -> None:
    output = tmp_path / "map"
    _build(drive, output, options)
    shutil.copytree(output, tmp_path / "with images")
    opened = PlaceMap.open(output)
    before, image = np.array(opened.descriptors), opened.image(1)
    _build(drive, output, replace(options, store_images="none"))
    shutil.copytree(output, tmp_path / "without")

    def replace_often() -> None:
        for turn in range(60):
            new = tmp_path / "new"
            shutil.copytree(tmp_path / ("with images" if turn % 2 else "without"), new)
            replace_directory(new, output)

    seen = Counter[str]()
    with ThreadPoolExecutor(1) as pool:
        replacing = pool.submit(replace_often)
        while not replacing.done():
            seen[PlaceMap.open(output).header.store_images] += 1
    replacing.result()
    assert set(seen) == {"thumbnail", "none"}
    np.testing.assert_array_equal(opened.descriptors, before)  # what was opened stays what it was
    np.testing.assert_array_equal(opened.image(1), image)


def test_pose_is_missing(options: BuildOptions, tmp_path: Path) -> None:
    write_catalogue(tmp_path / "drive", street(seed=4, metres=10), range(4)).unlink()
    source = CatalogueSource.from_folder(tmp_path / "drive")
    with pytest.raises(SourceError, match=r"no pose for .*000\.png.*--no-poses"):
        _build(source, tmp_path / "map", options)
    place_map = _build(source, tmp_path / "map", replace(options, require_poses=False))
    assert np.isnan(place_map.poses).all()
    assert not place_map.has_poses
    assert json.loads((place_map.path / "map.json").read_text())["similarity_threshold"] == 0.0


_ROOT = Path(__file__).resolve().parents[2]


_IMAGES = 160
# Four workers of two threads: with one thread each, a network rounds alike in batches of any size.
_ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "8"}


def _write_drive(folder: Path) -> Path:
    folder.mkdir()
    fronts = street(3, _IMAGES + 20)
    rows = ["image,x,y"]
    for index in range(_IMAGES):
        (folder / f"{index:03}.jpg").write_bytes(encode_jpeg(view(fronts, float(index)), 90))
        rows.append(f"{index:03}.jpg,{index},0")
    (folder / "drive.csv").write_text("\n".join(rows))
    return folder / "drive.csv"


def _command(drive: Path, output: Path, checkpoint: Path) -> list[str]:
    options = ["--output", str(output), "--weights", str(checkpoint), "--batch-size", "2", "--quiet"]
    options += ["--store-features", "none"]  # test_place_features.py kills a build with features
    return [sys.executable, "-m", "netvlad_core", "build-map", str(drive), *options]


def _kill_in_the_middle(command: list[str], journal: Path, lines: int) -> int:
    process = subprocess.Popen(command, cwd=_ROOT, env=_ENVIRONMENT)
    deadline = monotonic() + 60
    while monotonic() < deadline and process.poll() is None:
        if journal.is_file() and len(journal.read_bytes().splitlines()) >= lines:
            process.send_signal(signal.SIGKILL)
            break
        sleep(0.002)
    assert process.wait() == -signal.SIGKILL, "the build ended before it could be killed"
    return len([line for line in journal.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")])


def test_killed_build_keeps_the_old_map_and_is_continued(tmp_path: Path, checkpoint: Path) -> None:
    drive = _write_drive(tmp_path / "drive")
    short = tmp_path / "drive" / "short.csv"
    short.write_text("\n".join((drive.read_text().splitlines())[:6]))
    output, reference = tmp_path / "map", tmp_path / "reference"
    subprocess.run(_command(short, output, checkpoint), cwd=_ROOT, env=_ENVIRONMENT, check=True)
    subprocess.run(_command(drive, reference, checkpoint), cwd=_ROOT, env=_ENVIRONMENT, check=True)
    old = PlaceMap.open(output, verify=True).header

    journal = tmp_path / ".map.partial" / "journal.jsonl"
    finished = _kill_in_the_middle(_command(drive, output, checkpoint), journal, lines=10)
    assert 10 <= finished < _IMAGES
    assert PlaceMap.open(output, verify=True).header == old

    # The kill may have hit between the two images of a batch.
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[: finished - 1 + finished % 2]))

    # What was described already is not read again: size and time say that it is the same drive.
    first = tmp_path / "drive" / "000.jpg"
    status = first.stat()
    first.write_bytes(bytes(status.st_size))
    os.utime(first, ns=(status.st_atime_ns, status.st_mtime_ns))
    subprocess.run(_command(drive, output, checkpoint), cwd=_ROOT, env=_ENVIRONMENT, check=True)
    continued, whole = PlaceMap.open(output, verify=True), PlaceMap.open(reference)
    assert continued.header.places == _IMAGES
    assert continued.header.skipped == {}
    assert continued.names == whole.names
    np.testing.assert_array_equal(continued.poses, whole.poses)
    np.testing.assert_array_equal(continued.descriptors, whole.descriptors)  # the same batches
    assert not journal.parent.exists()
    assert json.loads((output / "map.json").read_text())["places"] == _IMAGES
