"""`netvlad inspect` says what is in a map or a checkpoint, and whether it is whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from netvlad_core.cli import main
from netvlad_core.mapping.place_map import PlaceMap
from support.bags import write_bag
from support.drives import arc, pictures


def test_a_map_is_described_and_checked(
    street_map: PlaceMap, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(street_map.path), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["places"], values["map_id"]) == (40, street_map.header.map_id)
    assert main(["inspect", str(street_map.path)]) == 0
    text = capsys.readouterr().out
    assert street_map.header.model_id in text
    assert "descriptors.npy (" in text
    damaged = tmp_path / "map"
    shutil.copytree(street_map.path, damaged)
    with (damaged / "descriptors.npy").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    assert main(["inspect", str(damaged)]) == 1
    assert "descriptors.npy" in capsys.readouterr().err


def test_a_bag_is_described_with_the_topics_that_are_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_bag(tmp_path / "drive", pictures(3), arc(3))
    assert main(["inspect", str(path), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert {topic["name"]: topic["count"] for topic in values["topics"]} == {
        "/camera/image_raw": 3,
        "/odom": 3,
    }
    assert (values["images"], values["poses"]) == ("/camera/image_raw", "/odom")
    assert main(["inspect", str(path)]) == 0
    assert "name /odom, type nav_msgs/Odometry, count 3" in capsys.readouterr().out


def test_what_is_not_there_is_named_with_what_is_expected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(tmp_path / "x")]) == 1
    assert capsys.readouterr().err.startswith(
        f"netvlad inspect: {tmp_path / 'x'} does not exist; expected a map"
    )


def test_a_checkpoint_is_described(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(checkpoint), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["clusters"], values["backbone"]) == (8, "efficientnet_lite0")
    assert values["model_id"].startswith("efficientnet_lite0-netvlad8@")
    assert main(["inspect", str(checkpoint)]) == 0
    assert "model id" in capsys.readouterr().out
