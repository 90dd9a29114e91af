"""`netvlad calibrate`: thresholds out of a drive, in a file that the other commands and the node take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import pytest
import yaml

from netvlad_core.cli import main
from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.localization.localizer_options import LocalizerOptions
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.settings import read_parameters, settings_of
from support.street import street, write_catalogue

_FRONTS = street(seed=1, metres=80)


def _drive_off_the_map(folder: Path) -> Path:
    """Along the mapped street, then through another one."""
    here = write_catalogue(folder / "here", _FRONTS, range(1, 79, 2), gain=0.9)
    there = write_catalogue(folder / "there", street(seed=9, metres=60), range(0, 60, 2), first_x=1000)
    lines = [f"here/{row}" for row in here.read_text().splitlines()[1:]]
    rows = [row.rsplit(",", 1)[0] for row in there.read_text().splitlines()[1:]]
    lines += [f"there/{row},{200 + index}" for index, row in enumerate(rows)]
    drive = folder / "drive.csv"
    drive.write_text("\n".join(["image,x,y,yaw,stamp", *lines]))
    return drive


def _calibrate(place_map: PlaceMap, drive: Path, output: Path, *more: str) -> int:
    arguments = [str(place_map.path), str(drive), "--threshold", "5", "--quiet", *more]
    return main(["calibrate", *arguments, "--output", str(output)])


def _evaluate(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["evaluate", *map(str, arguments), "--json", "--quiet"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def test_the_file_holds_thresholds_that_evaluate_takes(
    street_map: PlaceMap, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drive = _drive_off_the_map(tmp_path)
    output = tmp_path / "out" / "street.yaml"
    for _ in range(2):  # the second time over its own output
        assert _calibrate(street_map, drive, output) == 0
    assert "69 images, 39 of them of mapped places" in capsys.readouterr().out
    values = yaml.safe_load(output.read_text())["/**"]["ros__parameters"]
    assert values == read_parameters(output, settings_of(LocalizerOptions()))
    assert 0 < values["min_similarity"] < 1
    assert 0.05 <= values["min_belief"] <= 1
    assert (values["sequence_filter"], values["verification"], values["min_inliers"]) == (True, "auto", 30)
    assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    result = _evaluate(capsys, street_map.path, drive, "--params", output, "--threshold", "5")
    assert result["settings"] | values == result["settings"]
    assert result["localized_at_a_correct_place"] >= 0.99 * result["states"]["LOCALIZED"] > 20


def test_what_it_was_told_is_in_the_file_too(street_map: PlaceMap, tmp_path: Path) -> None:
    params = tmp_path / "mine.yaml"
    params.write_text("/**:\n  ros__parameters: {sequence: {sharpness: 0.8}, top_k: 7}\n")
    output = tmp_path / "street.yaml"
    assert _calibrate(street_map, _drive_off_the_map(tmp_path), output, "--params", str(params)) == 0
    values = read_parameters(output, settings_of(LocalizerOptions()))
    assert (values["sequence.sharpness"], values["top_k"]) == (0.8, 7)
    assert _calibrate(street_map, tmp_path / "drive.csv", output, "--params", str(output)) == 1


@pytest.fixture(scope="module")
def verified(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[PlaceMap, Path]:
    """A map with images, and a drive."""
    folder = tmp_path_factory.mktemp("verified")
    catalogue = write_catalogue(folder / "mapped", _FRONTS, range(0, 80, 4))
    _enlarge(folder / "mapped")
    options = BuildOptions(weights=checkpoint, device="cpu", store_images="full", store_features="none")
    place_map = build_map(CatalogueSource.from_csv(catalogue), folder / "map", options, progress=False)
    drive = write_catalogue(folder / "drive", _FRONTS, range(2, 78, 6), gain=0.9)
    _enlarge(folder / "drive")
    return place_map, drive


def test_with_verification_the_filter_keeps_the_number_that_it_weighs_by(
    verified: tuple[PlaceMap, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "verified.yaml"
    assert _calibrate(*verified, output, "--verify", "--json") == 0
    proposed = json.loads(capsys.readouterr().out)["proposed"]
    assert (proposed["min_inliers"]["threshold"], proposed["min_inliers"]["precision"]) == (30, 1.0)
    values = read_parameters(output, settings_of(LocalizerOptions()))
    assert (values["verification"], values["min_inliers"]) == ("always", 30)
    assert "min_similarity" not in values  # geometry decides in its place
    result = _evaluate(capsys, verified[0].path, verified[1], "--params", output, "--threshold", "5")
    assert result["settings"]["verification"] == "always"
    assert result["localized_at_a_correct_place"] == result["states"]["LOCALIZED"]


def test_with_verification_single_images_have_a_number_of_inliers(
    verified: tuple[PlaceMap, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params, output = tmp_path / "p.yaml", tmp_path / "verified.yaml"
    params.write_text(
        "/**:\n  ros__parameters: {sequence_filter: false, verification: true, min_inliers: 9}\n"
    )
    # Half of the images stand exactly where the map has a place; elsewhere nothing is right.
    exact = ("--params", str(params), "--threshold", "0.001")
    assert _calibrate(*verified, output, *exact) == 0
    values = read_parameters(output, settings_of(LocalizerOptions()))
    assert (values["sequence_filter"], values["verification"]) == (False, "always")
    assert values["min_inliers"] > 100
    arguments = (verified[0].path, verified[1], "--threshold", "0.001", "--params")
    loose, strict = (_evaluate(capsys, *arguments, file) for file in (params, output))
    assert loose["localized_at_a_correct_place"] < loose["states"]["LOCALIZED"]
    assert 0 < strict["localized_at_a_correct_place"] == strict["states"]["LOCALIZED"]


def _enlarge(folder: Path) -> None:
    """Larger pictures have more local features."""
    for path in folder.glob("*.png"):
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), None, fx=2, fy=2))


def test_a_drive_without_poses_and_a_stranger_are_refused(
    street_map: PlaceMap, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalogue = write_catalogue(tmp_path / "drive", _FRONTS, range(1, 20, 6))
    for stranger in ("x.yaml", "x.png"):
        (tmp_path / stranger).write_text("map_frame: map\n")
        assert _calibrate(street_map, catalogue, tmp_path / "x.yaml") == 1
        assert f"{stranger} exists, and no earlier run has written it" in capsys.readouterr().err
        assert (tmp_path / stranger).read_text() == "map_frame: map\n"
        (tmp_path / stranger).unlink()
    catalogue.unlink()
    assert _calibrate(street_map, tmp_path / "drive", tmp_path / "x.yaml") == 1
    assert "poses" in capsys.readouterr().err
    assert not (tmp_path / "x.yaml").exists()
