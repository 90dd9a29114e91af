"""`initialpose` goes out once for each relocalization and listener."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("rclpy")
from geometry_msgs.msg import PoseWithCovarianceStamped
from std_msgs.msg import Header

from netvlad_core.data.geometry import Pose
from netvlad_ros.outputs.initial_pose import InitialPose
from support.amcl import RELEASES, refusal
from support.answers import SECOND, localized, lost, moment
from support.recording import RecordingNode

_POSE = Pose.from_xyz_yaw(3.0, 4.0, yaw=0.5)
_CELLS = (400, 300)  # of AMCL's map
_MAIN, _FROM_JAZZY = RELEASES[3:], RELEASES[1:]


class _Sent:
    """The output, and how often it has spoken."""

    def __init__(self) -> None:
        self.node = RecordingNode()
        self.output = InitialPose(self.node, self.node.count)
        self.publisher = self.node.publishers["initialpose"]

    def see(self, seconds: float, listeners: int = 1) -> int:
        self.publisher.listeners = listeners
        stamp = int(seconds * SECOND)
        self.output.send(localized(_POSE, stamp), moment(stamp), Header(frame_id="map"))
        return len(self.publisher.sent)

    def lose(self, *seconds: float) -> None:
        for second in seconds:
            stamp = int(second * SECOND)
            self.output.send(lost(stamp), moment(stamp), Header(frame_id="map"))


def test_it_waits_for_a_listener_and_speaks_once():
    sent = _Sent()
    assert [sent.see(1, listeners=0), sent.see(2, listeners=0)] == [0, 0]
    assert [sent.see(3), sent.see(4), sent.see(5)] == [1, 1, 1]
    message = sent.publisher.sent[0]
    assert (message.header.frame_id, message.pose.pose.position.x) == ("map", 3.0)
    assert sent.node.counts == {"initialpose published": 1}


def test_each_new_listener_gets_a_pose():
    """A recorder that is there first does not use up the pose that AMCL needs."""
    sent = _Sent()
    counts = [
        sent.see(t, listeners) for t, listeners in enumerate([1, 1, 2, 2, 1, 1, 2, 5, 5, 0, 1], start=1)
    ]
    assert counts == [1, 1, 2, 2, 2, 2, 3, 4, 4, 4, 5]


@pytest.mark.parametrize(("lost_for", "again"), [(3, False), (4.9, False), (5, True), (60, True)])
def test_it_speaks_again_after_five_seconds_without_a_place(lost_for, again):
    sent = _Sent()
    sent.see(1)
    sent.lose(2, 2 + lost_for)
    assert sent.see(2.1 + lost_for) == 1 + again


def test_lost_seconds_do_not_add_up_over_poses():
    sent = _Sent()
    for start in range(0, 40, 4):
        sent.see(start)
        sent.lose(start + 0.5, start + 3.5)
    assert sent.see(41) == 1


@pytest.mark.parametrize(("back", "again"), [(0.2, False), (0.9, False), (1.5, True), (1000, True)])
def test_it_speaks_again_after_a_jump_of_the_clock_but_not_after_an_image_out_of_order(back, again):
    sent = _Sent()
    sent.see(2000)
    assert sent.see(2000 - back) == 1 + again
    assert sent.see(2000 - back + 0.1) == 1 + again


def test_jump_of_the_clock_while_lost_counts_too():
    sent = _Sent()
    sent.see(2000)
    sent.lose(2001, 5, 6)
    assert sent.see(7) == 2


def test_another_map_makes_a_pose_due():
    sent = _Sent()
    sent.see(1)
    sent.output.forget()
    assert sent.see(2) == 2


def test_it_takes_its_topic_back():
    sent = _Sent()
    sent.output.close()
    assert not sent.node.publishers


@pytest.mark.parametrize("release", RELEASES)
def test_amcl_of_each_release_takes_what_is_sent(release: str) -> None:
    sent = _Sent()
    sent.see(1)
    assert refusal(sent.publisher.sent[0], release, _CELLS) == ""


def _covariance(entry: int, value: float) -> dict[str, Any]:
    return {"pose.covariance": [value if number == entry else 0.0 for number in range(36)]}


@pytest.mark.parametrize(
    ("changes", "rule", "releases"),
    [
        ({"header.frame_id": ""}, "no frame", RELEASES),
        ({"header.frame_id": "odom"}, "frame", RELEASES),
        ({"header.frame_id": "/map"}, "frame", _MAIN),
        ({"header.stamp.nanosec": 10**9}, "stamp", RELEASES),
        ({"pose.pose.position.z": float("nan")}, "not finite", RELEASES),
        ({"pose.pose.orientation.w": 0.9}, "quaternion", RELEASES),
        (_covariance(7, float("inf")), "not finite", RELEASES),
        (_covariance(1, -1e-3), "covariance", _MAIN),
        (_covariance(35, 2e9), "covariance", _MAIN),
        ({"pose.pose.position.x": -401.0}, "off the map", _FROM_JAZZY),
        ({"pose.pose.position.y": 301.0}, "off the map", _FROM_JAZZY),
    ],
)
def test_what_amcl_refuses_depends_on_its_release(
    changes: dict[str, Any], rule: str, releases: tuple[str, ...]
) -> None:
    message = PoseWithCovarianceStamped(header=Header(frame_id="map"))
    message.pose.pose.orientation.w = 1.0
    for path, value in changes.items():
        *parts, last = path.split(".")
        owner: Any = message
        for part in parts:
            owner = getattr(owner, part)
        setattr(owner, last, value)
    found = {release: refusal(message, release, _CELLS) for release in RELEASES}
    assert found == {release: rule if release in releases else "" for release in RELEASES}
