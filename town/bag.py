"""Writes a drive as a rosbag2 mcap file, message by message."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

BASE, CAMERA, WORLD = "base_link", "camera_optical_frame", "odom"
JPEG_QUALITY = 90
VARIANCE = 1e-4  # of the ground truth, m^2 and rad^2
_store = get_typestore(Stores.ROS2_HUMBLE)
_types = _store.types


class DriveBag:
    """A bag with a camera, its odometry and the frames between them; a context manager."""

    def __init__(self, path: Path, compressed: bool) -> None:
        self._writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        image = ("/camera/image_raw", "Image")
        if compressed:
            image = ("/camera/image_raw/compressed", "CompressedImage")
        forever = QosTime(2147483647, 4294967295)
        latched = Qos(QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL,
                      forever, forever, QosLiveliness.AUTOMATIC, forever, False)  # fmt: skip
        self._topics = {
            topic: self._writer.add_connection(topic, kind, typestore=_store, offered_qos_profiles=qos)
            for topic, kind, qos in (
                (image[0], f"sensor_msgs/msg/{image[1]}", ()),
                ("/camera/camera_info", "sensor_msgs/msg/CameraInfo", ()),
                ("/odom", "nav_msgs/msg/Odometry", ()),
                ("/tf", "tf2_msgs/msg/TFMessage", ()),
                ("/tf_static", "tf2_msgs/msg/TFMessage", (latched,)),
            )
        }
        self._image_topic = image[0]

    def __enter__(self) -> DriveBag:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def mount(self, stamp: int, position: np.ndarray, quaternion: np.ndarray) -> None:
        """The camera's place on base_link."""
        self._transform("/tf_static", stamp, BASE, CAMERA, position, quaternion)

    def image(self, stamp: int, pixels: np.ndarray, intrinsics: np.ndarray) -> None:
        """One (H, W, 3) RGB frame and its camera_info."""
        height, width = pixels.shape[:2]
        header = self._header(stamp, CAMERA)
        if self._image_topic.endswith("compressed"):
            _, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            picture = _types["sensor_msgs/msg/CompressedImage"](
                header=header, format="rgb8; jpeg compressed bgr8", data=data.ravel()
            )
        else:
            picture = _types["sensor_msgs/msg/Image"](
                header=header,
                height=height,
                width=width,
                encoding="rgb8",
                is_bigendian=0,
                step=3 * width,
                data=pixels.ravel(),
            )
        self._write(self._image_topic, stamp, picture)
        info = _types["sensor_msgs/msg/CameraInfo"](
            header=header,
            height=height,
            width=width,
            distortion_model="plumb_bob",
            d=np.zeros(5),
            k=intrinsics.ravel(),
            r=np.eye(3).ravel(),
            p=np.hstack([intrinsics, np.zeros((3, 1))]).ravel(),
            binning_x=0,
            binning_y=0,
            roi=_types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False),
        )
        self._write("/camera/camera_info", stamp, info)

    def odometry(
        self,
        stamp: int,
        position: np.ndarray,
        quaternion: np.ndarray,
        linear: np.ndarray,
        angular: np.ndarray,
    ) -> None:
        """Pose of base_link in odom; velocities in base_link, m/s and rad/s."""
        covariance = VARIANCE * np.eye(6).ravel()
        pose = _types["geometry_msgs/msg/Pose"](
            position=_types["geometry_msgs/msg/Point"](*position.tolist()),
            orientation=self._quaternion(quaternion),
        )
        twist = _types["geometry_msgs/msg/Twist"](linear=self._vector(linear), angular=self._vector(angular))
        message = _types["nav_msgs/msg/Odometry"](
            header=self._header(stamp, WORLD),
            child_frame_id=BASE,
            pose=_types["geometry_msgs/msg/PoseWithCovariance"](pose=pose, covariance=covariance),
            twist=_types["geometry_msgs/msg/TwistWithCovariance"](twist=twist, covariance=covariance),
        )
        self._write("/odom", stamp, message)
        self._transform("/tf", stamp, WORLD, BASE, position, quaternion)

    def _transform(
        self, topic: str, stamp: int, parent: str, child: str, position: np.ndarray, quaternion: np.ndarray
    ) -> None:
        transform = _types["geometry_msgs/msg/TransformStamped"](
            header=self._header(stamp, parent),
            child_frame_id=child,
            transform=_types["geometry_msgs/msg/Transform"](
                translation=self._vector(position), rotation=self._quaternion(quaternion)
            ),
        )
        self._write(topic, stamp, _types["tf2_msgs/msg/TFMessage"](transforms=[transform]))

    def _write(self, topic: str, stamp: int, message: object) -> None:
        connection = self._topics[topic]
        self._writer.write(connection, stamp, _store.serialize_cdr(message, connection.msgtype))

    @staticmethod
    def _header(stamp: int, frame: str) -> Any:
        time = _types["builtin_interfaces/msg/Time"](sec=stamp // 10**9, nanosec=stamp % 10**9)
        return _types["std_msgs/msg/Header"](stamp=time, frame_id=frame)

    @staticmethod
    def _vector(xyz: np.ndarray) -> Any:
        return _types["geometry_msgs/msg/Vector3"](*(float(v) for v in xyz))

    @staticmethod
    def _quaternion(xyzw: np.ndarray) -> Any:
        return _types["geometry_msgs/msg/Quaternion"](*(float(v) for v in xyzw))
