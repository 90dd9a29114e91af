"""The examples run as their texts say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("gtsam")
pytest.importorskip("rclpy")
from examples.slam_backend.pose_graph import PoseGraph
from examples.slam_backend.trajectory_error import absolute_trajectory_error
from netvlad_core.data.geometry import Pose
from netvlad_core.data.trajectory import read_tum
from netvlad_core.model.checkpoints import save_checkpoint
from netvlad_core.model.fitting import fit_network
from netvlad_core.model.spec import NetworkSpec
from support.street import street, view
from town.drift import Drift

_ROOT = Path(__file__).resolve().parents[1]


def run(*arguments: Path | str | int) -> subprocess.CompletedProcess[str]:
    command: list[Path | str] = [sys.executable, _ROOT / "examples" / "classifier.py", *map(str, arguments)]
    return subprocess.run(command, cwd=_ROOT, capture_output=True, text=True)


def test_classifier_learns_two_streets(tmp_path: Path) -> None:
    for number, name in enumerate(("first", "second")):
        (tmp_path / name).mkdir()
        fronts = street(seed=number, metres=60)
        for index in range(16):
            image = view(fronts, 3.5 * index, gain=1 - 0.02 * index)
            cv2.imwrite(str(tmp_path / name / f"{index:02d}.png"), image[..., ::-1])
    done = run(tmp_path, "--epochs", 10, "--clusters", 4)
    assert done.returncode == 0, done.stderr
    assert "2 classes, 24 images to train on, 8 to test on" in done.stdout
    shares = dict(re.findall(r"(\w+) pooling: ([\d.]+) %", done.stdout))
    assert list(shares) == ["average", "NetVLAD"]
    assert float(shares["NetVLAD"]) >= 75  # chance is 50


def test_classifier_says_what_it_expects(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode != 0
    assert "expected two sub-folders of images or more" in done.stderr


def _square(laps: int) -> list[Pose]:
    """A square of 20 m, a pose for each metre, heading along the way."""
    corners = np.array([[0, 0], [20, 0], [20, 20], [0, 20]], float)
    poses = []
    for step in range(80 * laps):
        side, along = divmod(step % 80, 20)
        x, y = corners[side] + along * np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])[side]
        poses.append(Pose.from_xyz_yaw(x, y, yaw=np.pi / 2 * side))
    return poses


@pytest.mark.parametrize("false_closures", [0, 6])
def test_pose_graph_corrects_drift_and_withstands_false_closures(false_closures: int) -> None:
    true = _square(laps=2)
    drifted = Drift(turn_sigma=np.radians(1.0)).odometry(true)
    covariance = np.diag(np.repeat([0.1, 0.01], 3))
    errors = {}
    for is_robust in (True, False):
        graph = PoseGraph(is_robust=is_robust)
        for step, pose in enumerate(drifted):
            graph.add_odometry(step, pose)
        for step in range(80, 160, 4):
            graph.add_closure(step - 80, step, true[step - 80].inverse() @ true[step], covariance)
        for step in range(false_closures):
            graph.add_closure(3 * step, 60 + 9 * step, Pose.identity(), covariance)
        positions = graph.optimize().positions
        errors[is_robust] = absolute_trajectory_error(positions, _positions(true))
    before = absolute_trajectory_error(_positions(drifted), _positions(true))
    assert errors[True] < 0.5 * before
    if false_closures:
        assert errors[False] > 2 * errors[True]


def _positions(poses: list[Pose]) -> np.ndarray:
    return np.array([pose.position for pose in poses])


def test_back_end_hears_the_loop_closer_and_straightens_the_drive(tmp_path: Path) -> None:
    """Both nodes over DDS on two laps of a street, with drifting odometry."""
    fronts = street(seed=3, metres=150)
    laps = [view(fronts, 1.5 * index, gain=1 - 0.1 * lap) for lap in (0, 1) for index in range(40)]
    radius = 60 / (2 * np.pi)
    for index, image in enumerate(laps):
        cv2.imwrite(str(tmp_path / f"{index:03d}.png"), image[..., ::-1])
    angles = 2 * np.pi * (np.arange(80) % 40) / 40
    rows = [
        f"{index:03d}.png,{radius * np.cos(a)},{radius * np.sin(a)},{a + np.pi / 2},{1000 + 1.5 * index}"
        for index, a in enumerate(angles)
    ]
    catalogue = tmp_path / "drive.csv"
    catalogue.write_text("image,x,y,yaw,stamp\n" + "\n".join(rows) + "\n")
    weights = tmp_path / "net.safetensors"
    network = fit_network(lambda: iter(laps[:40]), NetworkSpec.of_backbone(clusters=16), device="cpu")
    save_checkpoint(network, weights)
    command = [sys.executable, "-m", "examples.slam_backend", catalogue, "--weights", weights]
    options = ["--output", tmp_path / "slam", "--rate", "8"]
    done = subprocess.run(list(map(str, [*command, *options])), cwd=_ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    error = {
        name: float(re.search(rf"{name} +([0-9.]+) m", done.stdout)[1])  # type: ignore[index]
        for name in ("odometry alone", "with closures", "not robust")
    }
    assert error["with closures"] < 0.8 * error["odometry alone"]
    assert len(read_tum(tmp_path / "slam" / "corrected.tum")) > 60
    assert cv2.imread(str(tmp_path / "slam" / "slam.png")) is not None
