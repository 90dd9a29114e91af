"""RTAB-Map gets poses in its own manner, and descriptors as it unpacks them."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

pytest.importorskip("rclpy")
from std_msgs.msg import Header

from netvlad_core.data.geometry import Pose
from netvlad_ros.outputs.rtabmap import GlobalPose, pack_descriptor
from support.answers import localized, lost, moment
from support.recording import RecordingNode


def test_global_pose_carries_the_frame_of_the_body():
    node = RecordingNode(base_frame="base_footprint")
    output = GlobalPose(node, node.count)
    answer, now = localized(Pose.from_xyz_yaw(1.0, 2.0, yaw=0.3)), moment()
    header = Header(stamp=now.header.stamp, frame_id="map")
    output.send(lost(), now, header)
    output.send(answer, now, header)
    (message,) = node.sent("global_pose")
    assert message.header == Header(stamp=now.header.stamp, frame_id="base_footprint")
    assert (message.pose.pose.position.x, message.pose.pose.position.y) == (1.0, 2.0)
    output.close()
    assert not node.publishers


def test_descriptor_is_packed_as_rtabmap_unpacks_it():
    descriptor = np.random.default_rng(0).normal(size=300).astype(np.float32)
    packed = pack_descriptor(descriptor)
    assert struct.unpack("<iii", packed[-12:]) == (1, 300, 5)
    np.testing.assert_array_equal(np.frombuffer(zlib.decompress(packed[:-12]), np.float32), descriptor)
