"""`initialpose` goes out once for each relocalization and listener."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy")
from std_msgs.msg import Header

from netvlad_core.data.geometry import Pose
from netvlad_ros.outputs.initial_pose import InitialPose
from support.answers import SECOND, localized, lost, moment
from support.recording import RecordingNode

_POSE = Pose.from_xyz_yaw(3.0, 4.0, yaw=0.5)


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
