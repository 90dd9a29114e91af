"""`netvlad build-map` says how much of a drive it could use, in its last line and its status."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from netvlad_core.cli import main
from netvlad_core.commands.output import MOSTLY_LEFT_OUT
from netvlad_core.geometry.features import usual_kind
from netvlad_core.mapping.place_map import PlaceMap
from support.bags import BagWriter, write_bag
from support.drives import COUNT, SECOND, START, arc
from support.images import known_picture
from support.street import street, view


def drive() -> list[tuple[int, np.ndarray]]:
    """Return images large enough to be described, at the instants of the arc."""
    fronts = street(seed=1, metres=80)
    return [(stamp, view(fronts, 2.0 * i)) for i, (stamp, _) in enumerate(arc(COUNT))]


def build(path: Path, output: Path, checkpoint: Path, *more: str) -> int:
    return main([
        "build-map", str(path), "--weights", str(checkpoint), "--output", str(output), "--quiet",
        "--store-features", "none", *more,
    ])  # fmt: skip


def test_whole_drive_has_status_0(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(write_bag(tmp_path / "drive", drive(), arc()), tmp_path / "map", checkpoint) == 0
    assert "6 places" in (said := capsys.readouterr()).out
    assert said.err == ""


def test_drive_without_most_poses(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_bag(tmp_path / "drive", drive(), arc(2))
    assert build(path, tmp_path / "map", checkpoint) == MOSTLY_LEFT_OUT
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(
        "warning: 4 of 6 images were left out: 4 image without a pose at its stamp; images are"
    )
    assert "images are of 2023-11-14 22:13:20 to 2023-11-14 22:13:25, poses of 2023-11-14 22:13:20 to" in last
    assert len(PlaceMap.open(tmp_path / "map")) == 2


def test_many_broken_poses_are_no_images_left_out(tmp_path: Path, checkpoint: Path) -> None:
    with BagWriter(tmp_path / "drive") as bag:
        for i in range(100):
            bag.write_raw("/odom", "nav_msgs/Odometry", b"\x00\x01\x00\x00", START + i)
        for stamp, pose in arc():
            bag.write("/odom", bag.messages.odometry(stamp, pose), stamp)
        for stamp, picture in drive():
            bag.write("/camera/image_raw", bag.messages.image(stamp, picture), stamp)
    assert build(tmp_path / "drive", tmp_path / "map", checkpoint) == 0


def test_drive_of_broken_images(tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with BagWriter(tmp_path / "drive") as bag:
        for stamp, pose in arc():
            bag.write("/odom", bag.messages.odometry(stamp, pose), stamp)
        for i, (stamp, picture) in enumerate(drive()):
            message = bag.messages.image(stamp, picture, "jpeg")
            if i:
                object.__setattr__(message, "data", message.data[: -20 - i])
            bag.write("/camera/image/compressed", message, stamp)
    assert build(tmp_path / "drive", tmp_path / "map", checkpoint) == MOSTLY_LEFT_OUT
    assert capsys.readouterr().err.splitlines()[-1] == "warning: 5 of 6 images were left out: 5 image cut off"


def test_recording_time_of_a_topic(tmp_path: Path, checkpoint: Path) -> None:
    with BagWriter(tmp_path / "drive") as bag:
        for stamp, pose in arc():
            bag.write("/odom", bag.messages.odometry(stamp, pose), stamp)
        for stamp, picture in drive():
            message = bag.messages.image(stamp - START + 4321 * SECOND, picture)
            bag.write("/camera/image_raw", message, stamp)
    assert build(tmp_path / "drive", tmp_path / "map", checkpoint) == 1
    mended = ("--recording-time", "/camera/image_raw")
    assert build(tmp_path / "drive", tmp_path / "map", checkpoint, *mended) == 0
    assert PlaceMap.open(tmp_path / "map").stamps[0] == START


@pytest.mark.parametrize(("scale", "doubt"), [(1.0, ""), (1e-5, "degrees"), (1e3, "millimetres")])
def test_units_of_a_catalogue(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str], scale: float, doubt: str
) -> None:
    import cv2

    rows = ["image,x,y"]
    for i in range(12):
        cv2.imwrite(str(tmp_path / f"{i}.png"), known_picture(96, 128, phase=0.2 * i))
        rows.append(f"{i}.png,{11.5 + 3 * i * scale},48.1")
    (tmp_path / "drive.csv").write_text("\n".join(rows) + "\n")
    assert build(tmp_path / "drive.csv", tmp_path / "map", checkpoint) == 0
    said = capsys.readouterr().err
    assert doubt in said
    assert bool(said) == bool(doubt)
    assert main(["inspect", str(tmp_path / "map")]) == 0
    assert bool(capsys.readouterr().err) == bool(doubt)


def test_local_features_of_a_kind_are_kept(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag, output = write_bag(tmp_path / "drive", drive(), arc()), tmp_path / "map"
    assert build(bag, output, checkpoint, "--store-features", "xfeat", "--store-images", "none") == 0
    features = PlaceMap.open(output).features
    assert features is not None
    assert features.kind == "xfeat"
    assert len(features[0].features) > 50
    assert build(bag, tmp_path / "other", checkpoint, "--store-features", "orb") == 1
    assert "there are: auto, none, rootsift, xfeat" in capsys.readouterr().err


def test_a_map_has_local_features_unless_it_is_told_otherwise(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag, output = write_bag(tmp_path / "drive", drive(), arc()), tmp_path / "map"
    command = ["build-map", str(bag), "--weights", str(checkpoint), "--output", str(output), "--quiet"]
    assert main(command) == 0
    assert "images can be guessed" not in capsys.readouterr().out
    assert PlaceMap.open(output).features.kind == usual_kind()
    assert main(["map", "info", str(output), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["local_features"]
    assert told["kind"] == usual_kind()
    assert 10_000 < told["bytes_per_place"] <= 37_008
    assert main([*command, "--store-images", "none"]) == 0
    assert "images can be guessed; --store-features none keeps nothing" in capsys.readouterr().out
    assert build(bag, output, checkpoint, "--store-images", "none") == 0
    assert "guessed" not in capsys.readouterr().out
    assert PlaceMap.open(output).features is None
