"""Swarm-SLAM hears descriptors and matches in its own messages, generated here from their definitions."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("rclpy")
from rclpy.node import Node

from netvlad_core.errors import NetvladError
from netvlad_ros.outputs.swarm_slam import SwarmSlam

_PROGRAM = """
import time
import numpy as np
import rclpy
from cslam_common_interfaces.msg import GlobalDescriptors, LocalKeyframeMatch
from rclpy.node import Node
from netvlad_core.data.geometry import Pose
from netvlad_core.localization.loops.loop_closure import LoopClosure
from netvlad_ros.outputs.swarm_slam import SwarmSlam

rclpy.init()
node = Node("loop_closer", namespace="r3")
swarm, descriptors, matches = SwarmSlam(node, 3), [], []
node.create_subscription(GlobalDescriptors, "/cslam/global_descriptors", descriptors.append, 100)
node.create_subscription(LocalKeyframeMatch, "/r3/cslam/local_keyframe_match", matches.append, 100)
row = np.random.default_rng(0).normal(size=64).astype(np.float32)
closure = LoopClosure(4, 17, 0, 1, Pose.identity(), np.eye(6), 0.5)
end = time.monotonic() + 30
while not (descriptors and matches) and time.monotonic() < end:
    swarm.send(17, row, closure)
    rclpy.spin_once(node, timeout_sec=0.2)
    rclpy.spin_once(node, timeout_sec=0.2)
heard = descriptors[0].descriptors
assert len(heard) == 1
assert (heard[0].keyframe_id, heard[0].robot_id) == (17, 3)
np.testing.assert_array_equal(np.array(heard[0].descriptor), row.astype(np.float64))
assert (matches[0].keyframe0_id, matches[0].keyframe1_id) == (4, 17)
"""


def test_swarm_slam_hears_descriptors_and_matches(foreign_messages: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], env=foreign_messages, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_missing_package_is_named(ros: None) -> None:
    node = Node("without_swarm")
    with pytest.raises(NetvladError, match="cslam_common_interfaces"):
        SwarmSlam(node, 0)
    node.destroy_node()
