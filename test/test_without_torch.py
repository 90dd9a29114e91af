"""A robot without torch localizes and builds maps with an ONNX file, and gets the answers of torch."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from netvlad_core.cli import main
from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.data.images import read_image
from netvlad_core.localization.localizer import Localizer
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.map_header import MapHeader
from netvlad_core.mapping.map_writer import describe_file
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.model.checkpoints import save_checkpoint
from netvlad_core.model.extractor import Extractor
from support.networks import random_network
from support.street import street, view, write_catalogue
from support.without_torch import COMMAND, program_without_torch, without_torch

_ROOT = Path(__file__).resolve().parents[1]
_LOCALIZE = """
import json, cv2
from netvlad_core import Localizer
localizer = Localizer.open(sys.argv[1], precision="float32")
answers = []
for path in sys.argv[2:]:
    answer = localizer(cv2.imread(path)[..., ::-1])
    answers.append([answer.state.name, [[m.place, float(m.similarity)] for m in answer.matches]])
print(json.dumps([localizer.extractor.device, localizer.extractor.model_id, answers]))
"""


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_catalogue(tmp_path_factory.mktemp("drive"), street(seed=3, metres=60), range(0, 60, 3))


@pytest.fixture(scope="module")
def queries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same street half-way between the places, in darker light."""
    return write_catalogue(
        tmp_path_factory.mktemp("queries"), street(seed=3, metres=60), range(1, 50, 12), gain=0.9
    )


@pytest.fixture(scope="module")
def place_map(drive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map with its own network in it, as `build-map` without --weights makes it, and the ONNX files."""
    fronts = street(seed=3, metres=60)
    network = random_network("alexnet", [view(fronts, x) for x in range(0, 60, 6)], clusters=8)
    folder = tmp_path_factory.mktemp("maps")
    save_checkpoint(network, folder / "fitted.safetensors")
    options = BuildOptions(weights=folder / "fitted.safetensors", device="cpu", store_features="none")
    build_map(CatalogueSource.from_csv(drive), folder / "campus", options, progress=False)
    shutil.move(folder / "fitted.safetensors", folder / "campus" / "model.safetensors")
    path = folder / "campus" / "map.json"
    header = MapHeader.read(path)
    files = {**header.files, "model.safetensors": describe_file(folder / "campus" / "model.safetensors")}
    replace(header, weights=None, files=files).write(path)
    for precision in ("float32", "int8"):
        assert main(["export", str(folder / "campus"), str(drive), "--quiet", "--precision", precision]) == 0
    return folder / "campus"


def test_map_with_its_own_network_localizes_as_with_torch(place_map: Path, queries: Path) -> None:
    images = sorted(queries.parent.glob("*.png"))
    device, model_id, answers = json.loads(without_torch(_LOCALIZE, place_map, *images))
    assert device.startswith("CPU (OpenVINO")
    by_torch = Extractor.load(place_map / "model.safetensors", "cpu", engine="torch")
    localizer = Localizer(PlaceMap.open(place_map), by_torch)
    assert model_id == by_torch.model_id
    for path, (state, matches) in zip(images, answers, strict=True):
        expected = localizer(read_image(path))
        assert state == expected.state.name
        places, similarities = zip(*matches, strict=True)
        np.testing.assert_allclose(similarities, [m.similarity for m in expected.matches], atol=2e-3)
        assert places[0] == expected.matches[0].place


def test_map_is_built_as_with_torch(place_map: Path, drive: Path, tmp_path: Path) -> None:
    weights = place_map / "model.float32.onnx"
    output = tmp_path / "map"
    without_torch(
        COMMAND,
        "build-map",
        drive,
        "--weights",
        weights,
        "--output",
        output,
        "--quiet",
        "--precision",
        "float32",
    )
    built, expected = PlaceMap.open(output, verify=True), PlaceMap.open(place_map)
    assert built.header.model_id == expected.header.model_id
    assert (built.whole_descriptors() * expected.whole_descriptors()).sum(axis=1).min() > 0.9999
    np.testing.assert_array_equal(built.poses, expected.poses)


def test_what_needs_torch_says_so(drive: Path, tmp_path: Path) -> None:
    command = program_without_torch(COMMAND, "build-map", drive, "--output", tmp_path / "map")
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "torch, which is not installed: pip install torch torchvision" in done.stderr
    assert "--weights packaged" in done.stderr
    assert "Traceback" not in done.stderr


def test_commands_run_in_a_chosen_precision(place_map: Path, queries: Path) -> None:
    arguments = ("evaluate", place_map, queries, "--precision", "int8", "--threshold", 3, "--json", "--quiet")
    assert json.loads(without_torch(COMMAND, *arguments))["recall"]["1"] == 1
    inspected = json.loads(without_torch(COMMAND, "inspect", place_map / "model.int8.onnx", "--json"))
    assert inspected["precision"] == "int8"
    assert inspected["model_id"] == PlaceMap.open(place_map).header.model_id


def test_a_precision_that_is_not_there_is_refused(
    place_map: Path, queries: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = place_map.with_name("bare")
    shutil.copytree(place_map, copy, ignore=shutil.ignore_patterns("*.onnx"))
    assert main(["evaluate", str(copy), str(queries), "--precision", "int8"]) == 1
    assert "netvlad export" in capsys.readouterr().err
    output = place_map.with_name("new")
    assert main(["build-map", str(queries), "--output", str(output), "--precision", "int8"]) == 1
    assert "int8 needs an exported network" in capsys.readouterr().err


def test_map_is_built_in_a_chosen_precision(place_map: Path, drive: Path, tmp_path: Path) -> None:
    weights = place_map / "model.safetensors"
    for precision in ("bfloat16", "int8"):
        options = BuildOptions(weights=weights, device="cpu", precision=precision, store_features="none")
        build_map(CatalogueSource.from_csv(drive), tmp_path / precision, options, progress=False)
    exact = PlaceMap.open(place_map)
    for precision in ("bfloat16", "int8"):
        other = PlaceMap.open(tmp_path / precision)
        similarity = (other.whole_descriptors() * exact.whole_descriptors()).sum(axis=1)
        assert 0.8 < similarity.min() < 1 - 1e-5
        assert other.header.model_id == exact.header.model_id


def test_precisions_are_compared_by_one_command(
    place_map: Path, queries: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    precisions = ["--precisions", "bfloat16", "int8"]
    assert main(["precision", str(place_map), str(queries), "--threshold", "3", "--quiet", *precisions]) == 0
    output = capsys.readouterr().out
    rows = {line.split("  ")[0]: line.split() for line in output.splitlines() if " 100.0 " in line}
    assert list(rows) == ["float32", "bfloat16", "float32 ONNX", "int8 ONNX"]
    assert "5 queries, 20 places" in output
    similarity = {name: float(row[-2]) for name, row in rows.items()}
    assert similarity["float32"] == 1
    assert 0.8 < similarity["int8 ONNX"] < similarity["float32 ONNX"] <= 1
