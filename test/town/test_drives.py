"""The bags of the demo: topics, types, frames and stamps. The pictures are tested elsewhere."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from scipy.spatial.transform import Rotation, Slerp

from netvlad_core.data.images import decode_message
from town import drives
from town.town import Town, make_town

Recorded = tuple[drives.DriveSummary, dict[str, list]]


class FlatRenderer:
    """Stands in for the real one: quick, and the picture tells where the camera was."""

    def __init__(self, town: Town, light: str, width: int, height: int) -> None:
        self.size = (height, width)
        self.intrinsics = np.array([(200.0, 0, width / 2), (0, 200.0, height / 2), (0, 0, 1)])

    def render(self, position: np.ndarray, quaternion: np.ndarray) -> np.ndarray:
        return np.full((*self.size, 3), np.clip(position[0], 0, 255), np.uint8)

    def close(self) -> None:
        pass


@pytest.fixture
def bag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Recorded:
    pytest.importorskip("panda3d")
    monkeypatch.setattr(drives, "Renderer", FlatRenderer)
    compressed = getattr(request, "param", True)
    summary = drives.write_drive(
        tmp_path / "drive",
        drives.SECOND_DRIVE,
        start=200.0,
        length=60.0,
        size=(160, 120),
        compressed=compressed,
    )
    with AnyReader([summary.path]) as reader:
        messages: dict[str, list] = {}
        for connection, stamp, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            messages.setdefault(connection.topic, []).append((stamp, connection.msgtype, message))
    return summary, messages


def _stamp(header: Any) -> int:
    return header.stamp.sec * 10**9 + header.stamp.nanosec


def test_topics_types_and_counts(bag: Recorded) -> None:
    summary, messages = bag
    assert {topic: kinds[0][1] for topic, kinds in messages.items()} == {
        "/camera/image_raw/compressed": "sensor_msgs/msg/CompressedImage",
        "/camera/camera_info": "sensor_msgs/msg/CameraInfo",
        "/odom": "nav_msgs/msg/Odometry",
        "/tf": "tf2_msgs/msg/TFMessage",
        "/tf_static": "tf2_msgs/msg/TFMessage",
    }
    assert (
        len(messages["/camera/image_raw/compressed"])
        == len(messages["/camera/camera_info"])
        == summary.images
    )
    assert len(messages["/tf"]) == len(messages["/odom"]) == pytest.approx(50 * summary.duration, abs=2)
    assert len(list(summary.path.glob("*.mcap"))) == 1


def test_stamps_ascend_and_images_lie_between_odometry(bag: Recorded) -> None:
    _, messages = bag
    images = [_stamp(m.header) for _, _, m in messages["/camera/image_raw/compressed"]]
    odometry = [_stamp(m.header) for _, _, m in messages["/odom"]]
    assert images == [stamp for stamp, _, _ in messages["/camera/image_raw/compressed"]]
    assert images == [_stamp(m.header) for _, _, m in messages["/camera/camera_info"]]
    assert not set(images) & set(odometry)
    for stamps in (images, odometry):
        assert (np.diff(stamps) > 0).all()
    assert odometry[0] < images[0]
    assert images[-1] < odometry[-1]


def test_odometry_is_the_truth_about_base_link(bag: Recorded) -> None:
    _, messages = bag
    truth = [(_stamp(m.header), m.pose.pose) for _, _, m in messages["/odom"]]
    _, _, first = messages["/odom"][0]
    assert (first.header.frame_id, first.child_frame_id) == ("odom", "base_link")
    stamps = np.array([s for s, _ in truth])
    place = np.array([(p.position.x, p.position.y, p.position.z) for _, p in truth])
    turn = Rotation.from_quat(
        [(p.orientation.x, p.orientation.y, p.orientation.z, p.orientation.w) for _, p in truth]
    )
    seconds = (stamps - stamps[0]) / 1e9
    # The camera's position, which the stand-in paints, is the interpolated pose plus the mounting.
    slerp = Slerp(seconds, turn)
    for _, _, message in messages["/camera/image_raw/compressed"][::7]:
        at = (_stamp(message.header) - stamps[0]) / 1e9
        base = np.array([np.interp(at, seconds, axis) for axis in place.T])
        pixel = decode_message(message)[60, 80, 2]
        assert (base + slerp(at).apply(drives.CAMERA_POSITION))[0] == pytest.approx(pixel, abs=2.0)
    # Velocity in base_link: forward, and as fast as the positions say.
    speed = np.linalg.norm(np.diff(place, axis=0), axis=1) / 0.02
    twist = np.array([m.twist.twist.linear.x for _, _, m in messages["/odom"]])
    np.testing.assert_allclose(twist[1:-1], (speed[1:] + speed[:-1]) / 2, atol=0.4)
    route = make_town().route
    assert np.linalg.norm(place[0, :2] - route.pose(200.0, drives.SECOND_DRIVE.manner.lane_offset)[:2]) < 0.5


def test_the_camera_is_mounted_as_rep_105_wants(bag: Recorded) -> None:
    _, messages = bag
    (_, _, static), = messages["/tf_static"]  # fmt: skip
    (transform,) = static.transforms
    assert (transform.header.frame_id, transform.child_frame_id) == ("base_link", "camera_optical_frame")
    q = transform.transform.rotation
    optical = Rotation.from_quat((q.x, q.y, q.z, q.w))
    np.testing.assert_allclose(optical.apply((0, 0, 1)), (1, 0, 0), atol=1e-9)  # looks forward
    np.testing.assert_allclose(optical.apply((0, 1, 0)), (0, 0, -1), atol=1e-9)  # rows go down


@pytest.mark.parametrize("bag", [False], indirect=True)
def test_raw_images(bag: Recorded) -> None:
    _, messages = bag
    _, kind, image = messages["/camera/image_raw"][0]
    assert kind == "sensor_msgs/msg/Image"
    assert (image.encoding, image.width, image.height, image.step) == ("rgb8", 160, 120, 480)
    assert len(image.data) == 160 * 120 * 3
