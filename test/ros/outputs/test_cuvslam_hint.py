"""cuVSLAM gets a first pose, and one for each question."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy")
from geometry_msgs.msg import PoseWithCovarianceStamped
from std_msgs.msg import Header

from netvlad_core.data.geometry import Pose
from netvlad_ros.outputs.cuvslam_hint import CuvslamHint
from support.answers import localized, lost, moment
from support.recording import RecordingNode

_MAP = Header(frame_id="map")


def test_the_first_pose_and_one_for_each_question_are_sent():
    """Isaac ROS asks only after a pose that was of no use, so somebody must begin."""
    node = RecordingNode()
    output = CuvslamHint(node, node.count)
    publisher = node.publishers["visual_slam/initial_pose"]
    answer = localized(Pose.from_xyz_yaw(5.0, 6.0))

    def see() -> int:
        output.send(lost(), moment(), _MAP)
        output.send(answer, moment(), _MAP)
        output.send(answer, moment(), _MAP)
        return len(publisher.sent)

    publisher.listeners = 0
    assert see() == 0
    publisher.listeners = 1
    assert see() == 1
    for asked in (2, 3):
        node.callbacks["visual_slam/trigger_hint"](PoseWithCovarianceStamped())
        assert see() == asked
    output.forget()
    assert see() == 4
    assert (publisher.sent[0].header.frame_id, publisher.sent[0].pose.pose.position.y) == ("map", 6.0)
    assert node.counts == {"cuVSLAM hints published": 4}
    output.close()
    assert not node.publishers
    assert not node.callbacks
