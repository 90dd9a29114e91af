"""Two robots with the same names for their frames share a network, and neither hears of the other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

# Each robot has a localizer, a loop closer and TF in its namespace. Robot 1 sees the beginning of the street,
# and its odometry begins at -100 m; robot 2 sees the end. Odometry is of a sensor, mounted differently.
_PROGRAM = """
import sys, time
from collections import defaultdict
from threading import Thread
import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped, TransformStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image
from tf2_msgs.msg import TFMessage
from netvlad_core.data.geometry import Pose
from netvlad_ros.conversions import pose_to_message, stamp_from_nanoseconds, stamp_to_nanoseconds
from netvlad_ros.executor import ThreadedExecutor
from netvlad_ros.localize_node import LocalizeNode
from netvlad_ros.loop_closure_node import LoopClosureNode
from netvlad_ros.msg import GlobalDescriptor, PlaceMatches
from support.robot import raw, values_of, wait_until

map_path, drives = sys.argv[1:]
drives = np.load(drives)
rclpy.init()
latched = QoSProfile(depth=9, durability=DurabilityPolicy.TRANSIENT_LOCAL)
listener, heard = Node("listener"), defaultdict(list)
for topic in ("/tf", "/robot1/tf", "/robot2/tf"):
    listener.create_subscription(TFMessage, topic, heard[topic].append, 100)
listener.create_subscription(DiagnosticArray, "/diagnostics", heard["told"].append, 100)

TOPICS = [
    (PlaceMatches, "localizer/matches"),
    (GlobalDescriptor, "localizer/descriptor"),
    (PoseWithCovarianceStamped, "localizer/pose"),
    (GlobalDescriptor, "loop_closer/descriptor"),
]

class Robot:
    def __init__(self, number, origin, side):
        self.number, self.origin, self.side = number, origin, side
        self.namespace, self.shown = f"/robot{number}", {}
        tf = ["--ros-args", "-r", "/tf:=tf", "-r", "/tf_static:=tf_static"]
        every_match_is_a_pose = dict(sequence_filter=False, min_similarity=0.0, min_agreement=0.0)
        self.nodes = [
            self.make(LocalizeNode, tf, map=map_path, publish_map_to_odom=True, **every_match_is_a_pose),
            self.make(LoopClosureNode, tf, weights=f"{map_path}/model.safetensors", verification=False),
            Node("robot", namespace=self.namespace),
        ]
        node = self.nodes[-1]
        self.images = node.create_publisher(Image, "image", qos_profile_sensor_data)
        self.odometry = node.create_publisher(Odometry, "odom", 50)
        self.mounting = Pose.from_xyz_yaw(0.0, side, yaw=side)
        mounted = TransformStamped(child_frame_id="sensor")
        mounted.header.frame_id = "base_link"
        pose = pose_to_message(self.mounting)
        mounted.transform.rotation, mounted.transform.translation.y = pose.orientation, side
        self.tf_static = node.create_publisher(TFMessage, "tf_static", latched)
        self.tf_static.publish(TFMessage(transforms=[mounted]))
        for kind, topic in TOPICS:
            node.create_subscription(kind, topic, heard[f"{self.namespace}/{topic}"].append, 100)

    def make(self, kind, arguments, **parameters):
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        return kind(namespace=self.namespace, cli_args=arguments, parameter_overrides=overrides)

    def drive(self, index):
        stamp = time.time_ns()
        place = drives[f"places{self.number}"][index]
        self.shown[stamp] = int(place)
        message = Odometry(child_frame_id="sensor")
        message.header.frame_id, message.header.stamp = "odom", stamp_from_nanoseconds(stamp)
        odometry = Pose.from_xyz_yaw(9.0 * index - self.origin, 0.0) @ self.mounting
        message.pose.pose = pose_to_message(odometry)
        self.odometry.publish(message)
        time.sleep(0.05)
        self.images.publish(raw(drives[f"images{self.number}"][index], stamp))

robots = [Robot(1, origin=100.0, side=0.5), Robot(2, origin=0.0, side=-3.0)]
executor = ThreadedExecutor(num_threads=4)
for node in [listener, *(node for robot in robots for node in robot.nodes)]:
    executor.add_node(node)
thread = Thread(target=executor.spin, daemon=True)
thread.start()
for robot in robots:
    for topic in (robot.images, robot.odometry):
        wait_until(lambda: topic.get_subscription_count() == 2, 30, "both nodes")
for index in range(8):
    for robot in robots:
        robot.drive(index)
    time.sleep(0.4)
time.sleep(1.5)

stamps_of = lambda topic: {stamp_to_nanoseconds(message.header.stamp) for message in heard[topic]}
for robot in robots:
    name = robot.namespace
    for _, topic in TOPICS:
        assert len(heard[f"{name}/{topic}"]) > 5, (name, topic, len(heard[f"{name}/{topic}"]))
        assert stamps_of(f"{name}/{topic}") <= set(robot.shown), (name, topic)
    for message in heard[f"{name}/localizer/matches"]:
        assert message.matches[0].place_id == robot.shown[stamp_to_nanoseconds(message.header.stamp)]
    frames = {(t.header.frame_id, t.child_frame_id) for m in heard[f"{name}/tf"] for t in m.transforms}
    assert frames == {("map", "odom")}, frames
    # map -> odom comes of the robot's own odometry, carried to base_link by its own /tf_static.
    first = 9.0 * drives[f"places{robot.number}"][0]
    at = heard[f"{name}/tf"][-1].transforms[0].transform.translation
    assert abs(at.x - (first + robot.origin)) < 10 and abs(at.y) < 1, (name, at)
    for node in ("localizer", "loop_closer"):
        told = [s for m in heard["told"] for s in m.status if s.name == f"{name}/{node}"]
        values = values_of(told[-1])
        assert values["images received"] == values["odometry received"] == "8", (name, node, values)
        assert told[-1].hardware_id == f"{name}/image"
        assert not any("publishers" in status.message for status in told)
assert not heard["/tf"]
names = {status.name for message in heard["told"] for status in message.status}
assert names == {f"/robot{i}/{node}" for i in (1, 2) for node in ("localizer", "loop_closer")}
executor.shutdown()
thread.join(10)
for robot in robots:
    for node in robot.nodes:
        node.destroy_node()
"""


def test_two_robots_hear_nothing_of_each_other(
    foreign_messages: dict[str, str], street: Any, map_path: Path, tmp_path: Path
) -> None:
    places = {"places1": np.arange(8), "places2": np.arange(16, 24)}
    images = {f"images{i}": np.stack([street.queries[p] for p in places[f"places{i}"]]) for i in (1, 2)}
    np.savez(tmp_path / "drives.npz", **places, **images)
    here = str(Path(__file__).parents[1])
    environment = {**foreign_messages, "PYTHONPATH": f"{foreign_messages['PYTHONPATH']}:{here}"}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(map_path), str(tmp_path / "drives.npz")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
