"""Bags written for tests: any storage format, any kind of pose, any encoding."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from netvlad_core.data.geometry import Pose
from support.images import pixel_bytes

STORAGES = ("mcap", "sqlite3", "ros1")
POSE_TOPICS = {
    "odometry": "/odom",
    "pose": "/pose",
    "pose_with_covariance": "/amcl_pose",
    "path": "/slam/path",
    "tf": "/tf",
    "fix": "/gps/fix",
}


class Messages:
    """Makes messages of ROS 2 or ROS 1; stamps are nanoseconds."""

    def __init__(self, is_ros1: bool = False) -> None:
        self.store = get_typestore(Stores.ROS1_NOETIC if is_ros1 else Stores.ROS2_HUMBLE)
        if is_ros1:
            definition = "geometry_msgs/TransformStamped[] transforms"
            self.store.register(get_types_from_msg(definition, "tf2_msgs/msg/TFMessage"))
        self._is_ros1 = is_ros1

    def make(self, kind: str, *args: Any, **kwargs: Any) -> Any:
        """Make a message of a type such as `sensor_msgs/Image`."""
        return self.store.types[kind.replace("/", "/msg/")](*args, **kwargs)

    def header(self, stamp: int, frame_id: str = "") -> Any:
        time = self.make("builtin_interfaces/Time", sec=stamp // 10**9, nanosec=stamp % 10**9)
        seq = {"seq": 0} if self._is_ros1 else {}
        return self.make("std_msgs/Header", stamp=time, frame_id=frame_id, **seq)

    def image(self, stamp: int, rgb: np.ndarray, encoding: str = "rgb8", padding: int = 0) -> Any:
        """Make an Image, or a CompressedImage where the encoding is jpeg or png."""
        if encoding in ("jpeg", "png"):
            data = cv2.imencode("." + encoding, rgb[..., ::-1])[1].ravel()
            format_ = f"rgb8; {encoding} compressed bgr8"
            return self.make(
                "sensor_msgs/CompressedImage", self.header(stamp, "camera"), format=format_, data=data
            )
        rows = np.pad(pixel_bytes(rgb, encoding), ((0, 0), (0, padding)), constant_values=77)
        return self.make(
            "sensor_msgs/Image",
            self.header(stamp, "camera"),
            height=rgb.shape[0],
            width=rgb.shape[1],
            encoding=encoding,
            is_bigendian=0,
            step=rows.shape[1],
            data=rows.ravel(),
        )

    def pose(self, pose: Pose) -> Any:
        point = self.make("geometry_msgs/Point", *map(float, pose.position))
        return self.make(
            "geometry_msgs/Pose", point, self.make("geometry_msgs/Quaternion", *map(float, pose.quaternion))
        )

    def odometry(self, stamp: int, pose: Pose, frame_id: str = "odom", child: str = "base_link") -> Any:
        zero = self.make("geometry_msgs/Vector3", 0.0, 0.0, 0.0)
        twist = self.make("geometry_msgs/Twist", zero, zero)
        return self.make(
            "nav_msgs/Odometry",
            self.header(stamp, frame_id),
            child_frame_id=child,
            pose=self.make("geometry_msgs/PoseWithCovariance", self.pose(pose), np.zeros(36)),
            twist=self.make("geometry_msgs/TwistWithCovariance", twist, np.zeros(36)),
        )

    def pose_stamped(self, stamp: int, pose: Pose, frame_id: str = "map") -> Any:
        return self.make("geometry_msgs/PoseStamped", self.header(stamp, frame_id), self.pose(pose))

    def pose_with_covariance(self, stamp: int, pose: Pose, frame_id: str = "map") -> Any:
        with_covariance = self.make("geometry_msgs/PoseWithCovariance", self.pose(pose), np.zeros(36))
        return self.make(
            "geometry_msgs/PoseWithCovarianceStamped", self.header(stamp, frame_id), with_covariance
        )

    def path(self, stamp: int, poses: Iterable[tuple[int, Pose]], frame_id: str = "map") -> Any:
        stamped = [self.pose_stamped(pose_stamp, pose, frame_id) for pose_stamp, pose in poses]
        return self.make("nav_msgs/Path", self.header(stamp, frame_id), stamped)

    def transforms(self, stamp: int, *edges: tuple[str, str, Pose]) -> Any:
        """Make a TFMessage of edges (parent, child, parent <- child)."""
        stamped = []
        for parent, child, pose in edges:
            move = self.make(
                "geometry_msgs/Transform",
                self.make("geometry_msgs/Vector3", *map(float, pose.position)),
                self.make("geometry_msgs/Quaternion", *map(float, pose.quaternion)),
            )
            header = self.header(stamp, parent)
            stamped.append(self.make("geometry_msgs/TransformStamped", header, child, move))
        return self.make("tf2_msgs/TFMessage", stamped)

    def fix(self, stamp: int, latitude: float, longitude: float, height: float = 0.0, status: int = 0) -> Any:
        return self.make(
            "sensor_msgs/NavSatFix",
            self.header(stamp, "gps"),
            status=self.make("sensor_msgs/NavSatStatus", status=status, service=1),
            latitude=latitude,
            longitude=longitude,
            altitude=height,
            position_covariance=np.zeros(9),
            position_covariance_type=0,
        )


class BagWriter(AbstractContextManager["BagWriter"]):
    """Writes a bag: a directory for `mcap` and `sqlite3`, a file for `ros1` (name it *.bag)."""

    def __init__(self, path: Path, storage: str = "mcap") -> None:
        self.messages = Messages(is_ros1=storage == "ros1")
        plugin = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}.get(storage)
        self.writer: Any = Writer2(path, version=9, storage_plugin=plugin) if plugin else Writer1(path)
        self._connections: dict[str, Any] = {}
        store = self.messages.store
        self._serialize = store.serialize_cdr if plugin else store.serialize_ros1

    def __enter__(self) -> BagWriter:
        self.writer.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.close()

    def add_topic(self, topic: str, kind: str) -> Any:
        """Announce a topic of a type such as `sensor_msgs/Image`; a message on it announces it by itself."""
        if topic not in self._connections:
            kind = kind.replace("/", "/msg/")
            self._connections[topic] = self.writer.add_connection(topic, kind, typestore=self.messages.store)
        return self._connections[topic]

    def write(self, topic: str, message: Any, received: int) -> None:
        kind = message.__msgtype__
        self.write_raw(topic, kind.replace("/msg/", "/"), bytes(self._serialize(message, kind)), received)

    def write_raw(self, topic: str, kind: str, data: bytes, received: int) -> None:
        self.writer.write(self.add_topic(topic, kind), received, data)


def write_bag(
    path: Path,
    images: Iterable[tuple[int, np.ndarray]],
    poses: Iterable[tuple[int, Pose]] = (),
    *,
    storage: str = "mcap",
    encoding: str = "rgb8",
    pose_type: str = "odometry",
    image_topic: str = "/camera/image_raw",
) -> Path:
    """Write a drive, image by image.

    Parameters
    ----------
    path : directory to make, or a file *.bag for ROS 1.
    images : growing stamps in nanoseconds and uint8 RGB images (H, W, 3).
    poses : stamps and poses odom <- base_link; with `fix` x is the longitude and y the latitude, in degrees.
    storage : one of STORAGES.
    encoding : of sensor_msgs/Image, see `support.images`; or jpeg or png, then on image_topic/compressed.
    pose_type : one of POSE_TOPICS, which has the topics.
    """
    poses = list(poses)
    with BagWriter(path, storage) as bag:
        make = bag.messages
        pose_topic = POSE_TOPICS[pose_type]
        image_topic += "/compressed" if encoding in ("jpeg", "png") else ""
        stamped = ((s, pose_topic, _pose_message(make, pose_type, s, pose, poses)) for s, pose in poses)
        pictures = ((s, image_topic, make.image(s, image, encoding)) for s, image in images)
        for stamp, topic, message in heapq.merge(stamped, pictures, key=lambda entry: entry[0]):
            bag.write(topic, message, stamp)
    return path


def _pose_message(make: Messages, kind: str, stamp: int, pose: Pose, poses: list[tuple[int, Pose]]) -> Any:
    if kind == "odometry":
        return make.odometry(stamp, pose)
    if kind == "pose":
        return make.pose_stamped(stamp, pose)
    if kind == "pose_with_covariance":
        return make.pose_with_covariance(stamp, pose)
    if kind == "path":
        return make.path(stamp, [entry for entry in poses if entry[0] <= stamp])
    if kind == "tf":
        return make.transforms(stamp, ("odom", "base_link", pose))
    if kind == "fix":
        return make.fix(stamp, pose.position[1], pose.position[0], pose.position[2])
    raise ValueError(f"pose type {kind!r}; expected one of {', '.join(POSE_TOPICS)}")


def raw_namespace(message: Any) -> SimpleNamespace:
    """Copy a message into plain attributes, to be spoiled by a test."""
    return SimpleNamespace(**{name: getattr(message, name) for name in message.__dataclass_fields__})
