"""The camera is mounted as /tf_static says, in tf2_msgs that are generated here, since no wheel has them."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("rclpy")
from rclpy.node import Node

from netvlad_ros.static_frames import StaticFrames, candidates
from netvlad_ros.tf_message import TFMessage

# A publisher that has gone before the node comes, two hops, a broken transform, and one that is said anew.
_PROGRAM = """
import time
import rclpy
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo
from tf2_msgs.msg import TFMessage
from netvlad_ros.loop_closure_node import LoopClosureNode
from netvlad_ros.static_frames import StaticFrames

def fixed(parent, child, x, z, w=1.0):
    stamped = TransformStamped(child_frame_id=child)
    stamped.header.frame_id = parent
    stamped.transform.translation.x, stamped.transform.translation.z = x, z
    stamped.transform.rotation.w = w
    return stamped

def spin_until(condition):
    end = time.monotonic() + 30
    while not condition() and time.monotonic() < end:
        for node in (robot, closer):
            rclpy.spin_once(node, timeout_sec=0.05)
    assert condition()

rclpy.init()
robot, closer = Node("robot"), LoopClosureNode()
latched = QoSProfile(depth=9, durability=DurabilityPolicy.TRANSIENT_LOCAL)
tf = robot.create_publisher(TFMessage, "/tf_static", latched)
tf.publish(TFMessage(transforms=[
    fixed("/base_link", "mast", 0.5, 1.0), fixed("mast", "camera", 0.0, 0.5),
    fixed("mast", "lamp", 0.0, 0.0, w=0.0),
]))
frames = StaticFrames(robot)  # later than the message
spin_until(lambda: frames.between("base_link", "camera") is not None)
assert frames.between("base_link", "camera").position.tolist() == [0.5, 0.0, 1.5]
assert frames.between("camera", "/base_link").position.tolist() == [-0.5, 0.0, -1.5]
assert frames.between("base_link", "lamp") is None
tf.publish(TFMessage(transforms=[fixed("base_link", "mast", 0.7, 1.0)]))
spin_until(lambda: frames.between("base_link", "camera").position[0] == 0.7)

infos = robot.create_publisher(CameraInfo, "camera_info", 1)
odometry = robot.create_publisher(Odometry, "odom", 1)
pose = Odometry(child_frame_id="base_link")
pose.pose.pose.orientation.w = 1.0
info = CameraInfo(width=320, height=240, distortion_model="plumb_bob")
info.header.frame_id = "camera"
info.k = [220.0, 0.0, 159.5, 0.0, 220.0, 119.5, 0.0, 0.0, 1.0]

def is_calibrated():
    odometry.publish(pose)
    infos.publish(info)
    return closer.input.camera.get() is not None

spin_until(is_calibrated)
assert closer.input.camera.get().mounting.position.tolist() == [0.7, 0.0, 1.5]
closer.destroy_node()
"""


def test_camera_is_mounted_as_tf_static_says(foreign_messages: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], env=foreign_messages, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "/tf_static, mast to lamp" in done.stderr


@pytest.mark.skipif(TFMessage is not None, reason="tf2_msgs is installed here")
def test_without_tf2_msgs_nothing_is_known(ros: None) -> None:
    node = Node("without_tf2")
    assert StaticFrames(node).between("base_link", "camera") is None
    node.destroy_node()


@pytest.mark.parametrize(
    ("remappings", "topics"),
    [
        ((), ["/robot1/tf_static", "/tf_static"]),
        (("/tf_static:=tf_static",), ["/robot1/tf_static"]),
        (("/tf_static:=/other/tf_static",), ["/other/tf_static"]),
        (
            ("image:=/robot2/front/image", "odom:=/robot2/odom"),
            ["/robot2/front/tf_static", "/robot2/tf_static", "/tf_static"],
        ),
    ],
)
def test_transforms_of_the_robots_own_namespace_come_first(ros, remappings, topics):
    arguments = ["--ros-args", *(word for rule in remappings for word in ("-r", rule))]
    node = Node("one_of_two", namespace="/robot1", cli_args=arguments)
    assert candidates(node, ("image", "odom")) == topics
    node.destroy_node()
