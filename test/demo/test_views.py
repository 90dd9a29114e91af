"""The bag for Foxglove and the drawing of the RViz view, from messages as the node makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path as PathMessage
from PIL import Image
from rosbags.highlevel import AnyReader
from std_msgs.msg import Header

from demo.views import draw, write_bag
from netvlad_core.data.geometry import Pose
from netvlad_ros.conversions import image_to_message, prior_to_message
from netvlad_ros.markers import match_markers
from netvlad_ros.msg import PlaceMatches
from support.answers import localized


def test_the_bag_has_every_message_and_the_drawing_every_display(tmp_path: Path) -> None:
    header = Header(frame_id="map")
    here = Pose.from_xyz_yaw(3.0, 4.0)
    answer = localized(here)
    markers = match_markers(answer, here, 10.0, header)
    assert answer.prior is not None
    pose = prior_to_message(answer.prior, header)
    way = PathMessage(header=header, poses=[PoseStamped(header=header, pose=pose.pose.pose)] * 2)
    picture = image_to_message(np.full((30, 60, 3), (250, 0, 250), np.uint8), header)
    messages = {
        "map_markers": markers, "markers": markers, "path": way, "pose": pose, "match_image": picture,
        "matches": PlaceMatches(header=header, reason="why"),
    }  # fmt: skip
    shown = [(f"/localizer/{name}", 10 + i, message) for i, (name, message) in enumerate(messages.items())]

    write_bag(shown, tmp_path / "views")
    with AnyReader([tmp_path / "views"]) as reader:
        read: dict[str, Any] = {
            c.topic: reader.deserialize(raw, c.msgtype) for c, _, raw in reader.messages()
        }
    assert set(read) == {topic for topic, _, _ in shown}
    assert read["/localizer/matches"].reason == "why"
    assert read["/localizer/markers"].markers[-1].text == markers.markers[-1].text

    draw(shown, tmp_path / "rviz.png")
    drawn = np.asarray(Image.open(tmp_path / "rviz.png").convert("RGB"))
    assert (drawn == (250, 0, 250)).all(axis=2).sum() > 1000  # the picture
    green = (drawn[..., 1].astype(int) - drawn[..., [0, 2]].max(axis=2)) > 40
    assert green[:, : drawn.shape[1] // 2].sum() > 500  # markers, path and pose
