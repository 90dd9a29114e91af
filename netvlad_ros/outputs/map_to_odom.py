"""The transform map -> odom, as REP-105 gives it to a localizer."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

from geometry_msgs.msg import Transform, TransformStamped, Vector3
from rclpy.duration import Duration
from rclpy.qos import QoSProfile
from std_msgs.msg import Header

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.localizer import Localization
from netvlad_ros.conversions import pose_to_message
from netvlad_ros.tf_message import TFMessage

if TYPE_CHECKING:
    from netvlad_ros.localize_node import LocalizeNode

_PERIOD = 0.05  # seconds
# Stamped a little ahead, so that whoever asks for the present need not wait for the next one.
_AHEAD = Duration(seconds=0.1)
_TF_QOS = QoSProfile(depth=100)


class MapToOdom:
    """Broadcasts where the odometry's frame lies in the map: pose against odometry at the image's stamp.

    From the first localization on the last transform is repeated, since odometry carries the robot on while
    it is lost. It is dropped with the map, when the odometry starts anew and when the clock jumps back.
    Besides /tf it goes out on ~/map_to_odom.
    """

    def __init__(self, node: LocalizeNode) -> None:
        self._node = node
        self._map_frame = node.value("map_frame")
        self._map_to_odom: Pose | None = None
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

    def send(self, answer: Localization, header: Header) -> None:
        if answer.prior is None:
            return
        odometry = self._node.odometry.at(answer.stamp)
        if odometry is None:
            self._node.statistics.count("no odometry at the image's stamp")
            return
        if self._node.odometry.frame_id == self._map_frame:
            self._node.get_logger().error(
                f"no transform map -> odom: the odometry is in {self._map_frame!r}, the frame of the map",
                throttle_duration_sec=5.0,
            )
            return
        with self._lock:
            self._map_to_odom = answer.prior.pose @ odometry.inverse()

    def _broadcast(self) -> None:
        with self._lock:
            transform = self._map_to_odom
        if transform is None:
            return
        pose = pose_to_message(Pose.from_values(transform.position, transform.quaternion))
        position = pose.position
        message = TransformStamped(
            header=Header(stamp=(self._node.get_clock().now() + _AHEAD).to_msg(), frame_id=self._map_frame),
            child_frame_id=self._node.odometry.frame_id,
            transform=Transform(
                translation=Vector3(x=position.x, y=position.y, z=position.z), rotation=pose.orientation
            ),
        )
        self._publisher.publish(message)
        if self._tf_publisher is not None:
            self._tf_publisher.publish(TFMessage(transforms=[message]))

    def forget(self) -> None:
        with self._lock:
            self._map_to_odom = None

    def close(self) -> None:
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._publisher)
        if self._tf_publisher is not None:
            self._node.destroy_publisher(self._tf_publisher)
