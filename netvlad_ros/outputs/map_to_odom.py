"""The transform map -> odom, as REP-105 gives it to a localizer."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

from geometry_msgs.msg import Transform, TransformStamped, Vector3
from rclpy.duration import Duration
from rclpy.qos import QoSProfile
from std_msgs.msg import Header

from netvlad_core.data.geometry import Pose
from netvlad_core.data.transforms import frame_name
from netvlad_core.localization.answer import Localization
from netvlad_ros.camera_node import CameraNode
from netvlad_ros.conversions import pose_to_message
from netvlad_ros.moment import Moment
from netvlad_ros.tf_message import TFMessage

_PERIOD = 0.05  # seconds
# Stamped a little ahead, so that whoever asks for the present need not wait for the next one.
_AHEAD = Duration(seconds=0.1)
_TF_QOS = QoSProfile(depth=100)
_NOT_JOINED = (
    "the odometry is of another frame than base_frame, and /tf_static does not join the two; publish the "
    "static transform, or set base_frame"
)


class MapToOdom:
    """Broadcasts where the odometry's frame lies in the map: pose against odometry at the image's stamp.

    From the first localization on the last transform is repeated, since odometry carries the robot on while
    it is lost. It is dropped with the map, when the odometry starts anew and when the clock jumps back.
    Besides /tf it goes out on ~/map_to_odom. With map_to_odom_planar it is one of the plane: x, y and yaw.
    """

    def __init__(self, node: CameraNode, count: Callable[[str], None]) -> None:
        self._node = node
        self._count = count
        self._is_planar = node.value("map_to_odom_planar")
        self._transform: TransformStamped | None = None
        self._problem: str | None = None
        self._lock = Lock()
        self._publisher = node.create_publisher(TransformStamped, "~/map_to_odom", _TF_QOS)
        self._tf_publisher: Any = None
        if TFMessage is None:
            node.get_logger().warning(
                "tf2_msgs is not installed: map -> odom goes out on ~/map_to_odom, but not on /tf"
            )
        else:
            self._tf_publisher = node.create_publisher(TFMessage, "/tf", _TF_QOS)
        self._timer = node.create_timer(_PERIOD, self._broadcast)

    def send(self, answer: Localization, moment: Moment, header: Header) -> None:
        if answer.prior is None:
            return
        if moment.odometry is None:
            self._count("no odometry at the image's stamp")
            return
        map_frame, odom_frame = frame_name(header.frame_id), frame_name(moment.odometry_frame)
        problem = _problem(map_frame, odom_frame) if moment.is_joined else _NOT_JOINED
        if problem:
            self._count("map -> odom withheld")
            if problem != self._problem:
                self._node.get_logger().error(f"no transform map -> odom: {problem}")
            self._problem = problem
            self.forget()
            return
        self._problem = None
        pose, odometry = answer.prior.pose, moment.odometry
        if self._is_planar:
            pose, odometry = _flat(pose), _flat(odometry)
        with self._lock:
            self._transform = _stamped(map_frame, odom_frame, pose @ odometry.inverse())

    def _broadcast(self) -> None:
        with self._lock:
            message = self._transform
            if message is None:
                return
            message.header.stamp = (self._node.get_clock().now() + _AHEAD).to_msg()
            self._publisher.publish(message)
            if self._tf_publisher is not None:
                self._tf_publisher.publish(TFMessage(transforms=[message]))

    def forget(self) -> None:
        with self._lock:
            self._transform = None

    def close(self) -> None:
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._publisher)
        if self._tf_publisher is not None:
            self._node.destroy_publisher(self._tf_publisher)


def _problem(map_frame: str, odom_frame: str) -> str | None:
    """Why two frames cannot be joined; None if they can."""
    if not odom_frame:
        return "the odometry names no frame (header.frame_id is empty)"
    if not map_frame:
        return "the map names no frame; set the parameter map_frame"
    if odom_frame == map_frame:
        return (
            f"the odometry and the map are both in {map_frame!r}; build the map in another frame "
            "(docs/back_ends.md), or name it with the parameter map_frame"
        )
    return None


def _flat(pose: Pose) -> Pose:
    return Pose.from_xyz_yaw(float(pose.position[0]), float(pose.position[1]), 0.0, pose.yaw)


def _stamped(parent: str, child: str, transform: Pose) -> TransformStamped:
    pose = pose_to_message(transform)
    at = pose.position
    return TransformStamped(
        header=Header(frame_id=parent),
        child_frame_id=child,
        transform=Transform(translation=Vector3(x=at.x, y=at.y, z=at.z), rotation=pose.orientation),
    )
