"""RTAB-Map: `global_pose`, and a descriptor packed as its RGBDImage carries it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from std_msgs.msg import Header

from netvlad_core.localization.answer import Localization
from netvlad_ros.camera_node import CameraNode
from netvlad_ros.moment import Moment
from netvlad_ros.outputs.pose_message import diagonal_message

_CV_32F = 5


class GlobalPose:
    """Sends each pose on `global_pose`, with the frame that RTAB-Map expects: the body's.

    RTAB-Map uses it if Optimizer/PriorsIgnored is false, the optimizer is g2o or GTSAM, and its own image is
    not older than one period of Rtabmap/DetectionRate.
    """

    def __init__(self, node: CameraNode, count: Callable[[str], None]) -> None:
        self._node = node
        self._frame = node.value("base_frame")
        self._publisher = node.create_publisher(PoseWithCovarianceStamped, "global_pose", 10)

    def send(self, answer: Localization, moment: Moment, header: Header) -> None:
        if answer.prior is not None:
            in_body = Header(stamp=header.stamp, frame_id=self._frame)
            self._publisher.publish(diagonal_message(answer.prior, in_body))

    def forget(self) -> None:
        pass

    def close(self) -> None:
        self._node.destroy_publisher(self._publisher)


def pack_descriptor(descriptor: np.ndarray) -> bytes:
    """A descriptor (D,) as `data` of a GlobalDescriptor (type 1): one row, compressed, and its shape."""
    row = np.ascontiguousarray(descriptor, np.float32)
    return zlib.compress(row.tobytes()) + struct.pack("<iii", 1, len(row), _CV_32F)
