"""A network of another project, in an ONNX file: from its file to poses on topics."""

from __future__ import annotations

from pathlib import Path
from time import time_ns

import numpy as np
import pytest
import torch

pytest.importorskip("rclpy")
from geometry_msgs.msg import PoseWithCovarianceStamped

from netvlad_core.cli import main
from netvlad_ros.msg import PlaceMatches
from support.robot import raw, wait_until


def _exported(path: Path) -> Path:
    """A network that is none of ours, with random weights, for one image of 120x160 pixels at a time."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 7, 4), torch.nn.ReLU(), torch.nn.AvgPool2d(9), torch.nn.Flatten()
    )
    torch.onnx.export(network, (torch.rand(1, 3, 120, 160),), path, dynamo=False)
    return path


def test_it_builds_a_map_and_localizes_a_robot(start, street, tmp_path) -> None:
    weights, place_map = tmp_path / "ours.onnx", tmp_path / "map"
    wrap = [
        "import-weights",
        _exported(tmp_path / "theirs.onnx"),
        "--output",
        weights,
        "--size",
        "120",
        "160",
    ]
    build = ["build-map", street.write(tmp_path / "street"), "--weights", weights, "--output", place_map]
    for command in (wrap, [*build, "--quiet"]):
        assert main([str(argument) for argument in command]) == 0
    robot = start(map=place_map, publish_initialpose=True)
    initial = robot.listen("initialpose", PoseWithCovarianceStamped, 10)
    robot.wait_until_it_answers()
    began = time_ns()
    answers = [
        robot.ask(raw(image, began + number * 10**9)) for number, image in enumerate(street.queries[:20])
    ]
    assert answers[-1].state == PlaceMatches.LOCALIZED
    assert answers[-1].model_id.startswith("theirs@")
    wait_until(lambda: robot.heard["pose"] and initial, 10, "poses")
    position = robot.heard["pose"][-1].pose.pose.position
    assert np.hypot(position.x - street.poses[19, 0], position.y) < 12
