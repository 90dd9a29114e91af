"""cuVSLAM gets one pose for each question."""

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


def test_each_question_is_answered_with_the_next_pose():
    node = RecordingNode()
    output = CuvslamHint(node, node.count)
    sent = node.sent("visual_slam/initial_pose")
    answer = localized(Pose.from_xyz_yaw(5.0, 6.0))
    output.send(answer, moment(), _MAP)
    assert not sent
    for asked in (1, 2):
        node.callbacks["visual_slam/trigger_hint"](PoseWithCovarianceStamped())
        output.send(lost(), moment(), _MAP)
        assert len(sent) == asked - 1
        output.send(answer, moment(), _MAP)
        output.send(answer, moment(), _MAP)
        assert len(sent) == asked
    assert (sent[0].header.frame_id, sent[0].pose.pose.position.y) == ("map", 6.0)
    assert node.counts == {"cuVSLAM hints published": 2}
    output.close()
    assert not node.publishers
    assert not node.callbacks
