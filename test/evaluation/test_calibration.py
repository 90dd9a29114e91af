"""Thresholds out of a drive: on the mapped street, then past its end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from netvlad_core.cli import main
from netvlad_core.evaluation.calibration import propose
from netvlad_core.evaluation.precision_recall import precision_recall
from netvlad_core.mapping.place_map import PlaceMap
from support.street import street, write_catalogue


def test_proposal_keeps_the_default_without_a_mistake_and_accepts_nothing_without_success() -> None:
    everything = np.ones(4, bool)
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    assert propose(precision_recall(scores, everything, everything), 0.99, default=0.5) == 0.5
    assert propose(precision_recall(scores, ~everything, everything), 0.99, default=0.5) == 1.0
    mixed = precision_recall(scores, np.array([True, True, False, True]), everything)
    assert propose(mixed, 0.99, default=0.5) == 0.8


def test_calibrate_writes_thresholds_that_the_node_takes(
    street_map: PlaceMap, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = write_catalogue(tmp_path / "here", street(seed=1, metres=80), range(1, 79, 2), gain=0.9)
    there = write_catalogue(tmp_path / "there", street(seed=9, metres=60), range(0, 60, 2), first_x=1000)
    lines = [f"here/{row}" for row in here.read_text().splitlines()[1:]]
    rows = [row.rsplit(",", 1)[0] for row in there.read_text().splitlines()[1:]]
    lines += [f"there/{row},{200 + index}" for index, row in enumerate(rows)]
    drive = tmp_path / "drive.csv"
    drive.write_text("\n".join(["image,x,y,yaw,stamp", *lines]))
    output = tmp_path / "out" / "street.yaml"
    arguments = ["--map", str(street_map.path), "--drive", str(drive), "--threshold", "5", "--quiet"]
    assert main(["calibrate", *arguments, "--output", str(output)]) == 0
    assert "69 images, 39 of them of mapped places" in capsys.readouterr().out
    values = yaml.safe_load(output.read_text())["/**"]["ros__parameters"]
    assert 0 < values["min_similarity"] < 1
    assert 0.05 <= values["min_belief"] <= 1
    assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_drive_without_poses_is_refused(
    street_map: PlaceMap, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalogue = write_catalogue(tmp_path / "drive", street(seed=1, metres=80), range(1, 20, 6))
    catalogue.unlink()
    arguments = ["--map", str(street_map.path), "--drive", str(tmp_path / "drive"), "--quiet"]
    assert main(["calibrate", *arguments, "--output", str(tmp_path / "x.yaml")]) == 1
    assert "poses" in capsys.readouterr().err
    assert not (tmp_path / "x.yaml").exists()
