"""Whatever messages hold: a value or a counted reason, and the next sound message is taken."""

from __future__ import annotations

import struct
from pathlib import Path
from time import sleep, time_ns

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("hypothesis")
from geometry_msgs.msg import Point, Quaternion
from hypothesis import given
from hypothesis import strategies as st
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from netvlad_core.data.geometry import Pose
from netvlad_core.data.images import encode_jpeg
from netvlad_core.errors import ImageError
from netvlad_ros import conversions
from netvlad_ros.diagnostics import Statistics
from netvlad_ros.odometry import OdometryInput
from support.any_input import AS_ALWAYS, FLOATS, UINT32, instead, value_or_sentence, vectors
from support.robot import jpeg, raw, wait_until

_START, _STEP = 1_700_000_000 * 10**9, 10**8
_STAMPS = st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**32 - 1)


class _NoFrames:
    may_hear = True

    def between(self, frame: str, other: str) -> None:
        return None


def _odometry(stamp: int, x: float = 0.0) -> Odometry:
    header = Header(stamp=conversions.stamp_from_nanoseconds(stamp), frame_id="odom")
    message = Odometry(header=header, child_frame_id="base_link")
    message.pose.pose = conversions.pose_to_message(Pose.from_xyz_yaw(x, 0.0))
    return message


@AS_ALWAYS
@given(
    st.lists(
        st.tuples(
            vectors("xyz"),
            vectors("xyzw"),
            instead(st.none(), st.tuples(*_STAMPS)),
            instead(st.just("odom"), st.text(max_size=3)),
        ),
        max_size=4,
    )
)
def test_odometry(heard) -> None:
    """Three odd messages never stay the majority: soon after, the pose of a sound one is known again."""
    odometry = OdometryInput(Statistics(), _NoFrames())
    now = _START
    for position, turn, stamp, frame in heard:
        message = _odometry(now)
        message.pose.pose.position = Point(**vars(position))
        message.pose.pose.orientation = Quaternion(**vars(turn))
        message.header.frame_id = frame
        if stamp:
            message.header.stamp.sec, message.header.stamp.nanosec = stamp
        odometry.hear(message, now)
        pose = odometry.at(now)
        assert pose is None or np.isfinite([*pose.position, *pose.quaternion]).all()
        now += _STEP
    for _ in range(60):
        odometry.hear(_odometry(now, 1.0), now)
        now += _STEP
    assert odometry.at(now - _STEP).position.tolist() == [1.0, 0.0, 0.0]


@AS_ALWAYS
@given(
    st.sampled_from(["rgb8", "bgr8", "mono8", "16UC1", "nv21", "", "\x00"]),
    *[instead(st.just(usual), UINT32) for usual in (16, 20, 60)],
    instead(st.just(16 * 60), st.integers(0, 5000)),
)
def test_images(encoding, height, width, step, length) -> None:
    message = Image(encoding=encoding, height=height, width=width, step=step)
    message.data.frombytes(bytes(length))
    image = value_or_sentence(ImageError, "", conversions.image_from_message, message)
    assert image is None or (image.dtype, image.shape) == (np.uint8, (height, width, 3))


@AS_ALWAYS
@given(st.integers(-(2**70), 2**70), FLOATS)
def test_stamps_and_poses_for_messages(stamp, x) -> None:
    sent = conversions.stamp_from_nanoseconds(stamp)
    assert 0 <= conversions.stamp_to_nanoseconds(sent) < 2**31 * 10**9
    conversions.pose_to_message(Pose(np.full(3, x), np.full(4, x)))


def _mb_resident() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1e3


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_a_node_answers_after_pictures_that_announce_gigabytes(start, street, map_path, transport) -> None:
    robot = start(map=map_path, image_transport=transport, publish_map_to_odom=True, verification=True)
    robot.wait_until_it_answers(transport)
    image = {"raw": raw, "compressed": jpeg}[transport]
    bombs = {"raw": [(60_000, 16), (16, 60_000)], "compressed": [(20_000, 20_000), (8000, 8000)]}

    def refused() -> int:
        reasons = robot.node.statistics.values().items()
        kinds = ("image too", "an image", "JPEG", "picture")
        return sum(
            int(count)
            for reason, count in reasons
            if reason.startswith(tuple(f"images left out: {kind}" for kind in kinds))
        )

    for query in street.queries[:2]:  # what an image of a place takes is not what a bomb takes
        robot.ask(image(query, time_ns()))
    _forget_peak()
    before = _mb_resident()
    for number, (height, width) in enumerate(bombs[transport]):
        far = _odometry(time_ns())
        far.pose.pose.position.x = 1.7e308
        robot.odometry.publish(far)
        header = Header(stamp=conversions.stamp_from_nanoseconds(time_ns()), frame_id="camera")
        if transport == "raw":
            message = Image(header=header, encoding="mono8", height=height, width=width, step=width)
            message.data.frombytes(bytes(height * width))
        else:
            data = bytearray(encode_jpeg(np.zeros((16, 16, 3), np.uint8)))
            size = data.index(b"\xff\xc0") + 5
            data[size : size + 4] = struct.pack(">HH", height, width)
            message = CompressedImage(header=header, format="jpeg", data=bytes(data))

        def is_refused(message: Image | CompressedImage = message, expected: int = number + 1) -> bool:
            robot.publish(message)  # again, in case that it was lost on the way
            sleep(0.1)
            return refused() == expected

        wait_until(is_refused, 20, "the reason")
        assert robot.ask(image(street.queries[number], time_ns())).matches[0].place_id == number
    assert _mb_resident() - before < 50
