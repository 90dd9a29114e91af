"""map -> odom is composed at the image's stamp, repeated, and never of frames that do not fit."""

from __future__ import annotations

from time import time_ns
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header

from netvlad_core.data.geometry import Pose
from netvlad_ros.conversions import stamp_to_nanoseconds
from netvlad_ros.outputs.map_to_odom import MapToOdom
from support.answers import localized, lost, moment
from support.recording import RecordingNode

_POSE = Pose(np.array([30.0, -4.0, 1.5]), Rotation.from_euler("zyx", [0.9, 0.04, -0.03]).as_quat())
_ODOMETRY = Pose(np.array([10.0, -3.0, 0.2]), Rotation.from_euler("zyx", [0.7, 0.01, 0.02]).as_quat())


class _Sent:
    """The output, and what it broadcasts when its timer goes off."""

    def __init__(self, planar: bool = False) -> None:
        self.node = RecordingNode(map_to_odom_planar=planar)
        self.output = MapToOdom(self.node, self.node.count)

    def see(self, odometry: Pose | None = _ODOMETRY, odom: str = "odom", world: str = "map") -> None:
        self.output.send(localized(_POSE), moment(odometry=odometry, frame=odom), Header(frame_id=world))

    def broadcast(self) -> Any | None:
        sent = self.node.sent("~/map_to_odom")
        before = len(sent)
        self.node.timers[0]()
        return sent[-1] if len(sent) > before else None


def _pose(message: Any) -> Pose:
    t, r = message.transform.translation, message.transform.rotation
    return Pose.from_values([t.x, t.y, t.z], [r.x, r.y, r.z, r.w])


def test_it_is_the_pose_against_the_odometry_of_the_image():
    sent = _Sent()
    assert sent.broadcast() is None
    sent.see()
    message = sent.broadcast()
    assert (message.header.frame_id, message.child_frame_id) == ("map", "odom")
    assert -1 < (stamp_to_nanoseconds(message.header.stamp) - time_ns()) / 1e9 < 1
    composed = _pose(message) @ _ODOMETRY
    np.testing.assert_allclose(composed.position, _POSE.position, atol=1e-9)
    assert abs(composed.quaternion @ _POSE.quaternion) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("planar", [True, False])
def test_odometry_at_the_other_end_of_the_earth_gives_a_transform(planar):
    sent = _Sent(planar)
    sent.see(odometry=Pose.from_xyz_yaw(2e7, -2e7, yaw=2.0))
    assert np.isfinite(sent.broadcast().transform.translation.x)


def test_planar_transform_has_x_y_and_yaw_alone_and_keeps_them_right():
    sent = _Sent(planar=True)
    sent.see()
    transform = _pose(sent.broadcast())
    assert transform.position[2] == 0
    assert transform.quaternion[:2].tolist() == [0, 0]
    flat = Pose.from_xyz_yaw(10.0, -3.0, 0.0, _ODOMETRY.yaw)
    composed = transform @ flat
    np.testing.assert_allclose(composed.position, [30.0, -4.0, 0.0], atol=1e-9)
    assert composed.yaw == pytest.approx(_POSE.yaw)


def test_it_goes_on_while_the_robot_is_lost_until_it_is_to_forget():
    sent = _Sent()
    sent.see()
    first = _pose(sent.broadcast())
    sent.output.send(lost(), moment(odometry=Pose.identity()), Header(frame_id="map"))
    again = _pose(sent.broadcast())
    np.testing.assert_array_equal(first.position, again.position)
    sent.output.forget()
    assert sent.broadcast() is None


@pytest.mark.parametrize(
    ("odom", "world", "words"),
    [
        ("", "map", "names no frame"),
        ("map", "map", "both in 'map'"),
        ("/odom", "odom", "both in 'odom'"),
        ("odom", "", "map names no frame"),
    ],
)
def test_frames_that_do_not_fit_give_a_sentence_and_end_the_last_transform(odom, world, words):
    sent = _Sent()
    sent.see()
    sent.see(odom=odom, world=world)
    assert sent.broadcast() is None
    assert words in sent.node.log["error"][0]
    assert sent.node.counts["map -> odom withheld"] == 1


def test_odometry_of_another_frame_of_the_robot_gives_no_transform():
    sent = _Sent()
    now = moment(odometry=_ODOMETRY, is_joined=False)
    sent.output.send(localized(_POSE), now, Header(frame_id="map"))
    assert sent.broadcast() is None
    assert "base_frame" in sent.node.log["error"][0]


def test_slash_of_old_frame_names_is_left_out():
    sent = _Sent()
    sent.see(odom="/robot/odom", world="/map")
    message = sent.broadcast()
    assert (message.header.frame_id, message.child_frame_id) == ("map", "robot/odom")


def test_moment_without_odometry_is_counted():
    sent = _Sent()
    sent.see(odometry=None)
    assert sent.broadcast() is None
    assert sent.node.counts == {"no odometry at the image's stamp": 1}


def test_it_takes_topics_and_timer_back():
    sent = _Sent()
    sent.output.close()
    assert not sent.node.publishers
    assert not sent.node.timers
