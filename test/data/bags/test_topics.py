"""Topics of several robots in one bag, and of types that are not read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netvlad_core.data.bags.bag_file import Topic
from netvlad_core.data.bags.source import BagSource, SourceOptions
from netvlad_core.data.bags.topics import choose_image_topic, choose_pose_topic, existing, same_robot
from netvlad_core.data.geometry import Pose
from netvlad_core.errors import SourceError
from support.bags import BagWriter
from support.drives import START, arc, assert_on_arc, pictures

MOUNTINGS = {"/robot1": Pose.from_xyz_yaw(0.5, 0), "/robot2": Pose.from_xyz_yaw(-3, 1, yaw=1.5)}


@pytest.mark.parametrize(
    ("names", "beside", "expected"),
    [
        (["/robot1/tf_static", "/robot2/tf_static", "/tf_static"], "/robot1/odom", ["/robot1/tf_static"]),
        (["/robot2/tf_static", "/tf_static"], "/robot1/odom", ["/tf_static"]),
        (["/robot1/tf_static", "/tf_static"], "/odom", ["/tf_static"]),
        (["/robot1/tf_static"], "/odom", ["/robot1/tf_static"]),
        (["/robot2/tf_static"], "/robot1/odom", []),
        (["/robot/tf_static", "/robot10/tf_static"], "/robot1/odom", []),
        (["/fleet/a/tf_static", "/fleet/tf_static"], "/fleet/a/front/image", ["/fleet/a/tf_static"]),
        (["/a/tf_static", "/b/tf_static"], "/odom", ["/a/tf_static", "/b/tf_static"]),
    ],
)
def test_topics_of_the_same_robot(names: list[str], beside: str, expected: list[str]) -> None:
    assert same_robot(names, beside) == expected


def two_robots(path: Path, pose_topic: str, statics: dict[str, str]) -> Path:
    """Drive on an arc; `statics` says which robot's mounting is on which topic."""
    with BagWriter(path) as bag:
        make = bag.messages
        for topic, robot in statics.items():
            mounting = MOUNTINGS[robot]
            bag.write(topic, make.transforms(START, ("base_link", "gps_link", mounting)), START)
        for stamp, pose in arc():
            moved = pose @ MOUNTINGS["/robot1"]
            if pose_topic.endswith("/tf"):
                bag.write(pose_topic, make.transforms(stamp, ("odom", "base_link", pose)), stamp)
                away = ("odom", "base_link", Pose.from_xyz_yaw(70, 0))
                bag.write("/robot2/tf", make.transforms(stamp, away), stamp)
                bag.write("/tf", make.transforms(stamp, away), stamp)
            else:
                bag.write(pose_topic, make.odometry(stamp, moved, child="gps_link"), stamp)
        for stamp, picture in pictures():
            bag.write("/robot1/camera/image_raw", make.image(stamp, picture), stamp)
    return path


def test_static_transforms_of_the_robot_whose_poses_are_read(tmp_path: Path) -> None:
    own = {"/robot1/tf_static": "/robot1", "/robot2/tf_static": "/robot2"}
    path = two_robots(tmp_path / "drive", "/robot1/odom", own)
    assert_on_arc(list(BagSource.open(path)), atol=1e-3)


def test_transforms_of_another_robot_are_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = two_robots(tmp_path / "drive", "/robot1/odom", {"/robot2/tf_static": "/robot2"})
    frames = list(BagSource.open(path))
    assert_on_arc(frames, after=MOUNTINGS["/robot1"], atol=0.2)
    assert "no static transform joins to 'base_link'" in caplog.text


def test_moving_tf_of_the_robot_whose_images_are_read(tmp_path: Path) -> None:
    path = two_robots(tmp_path / "drive", "/robot1/tf", {})
    assert_on_arc(list(BagSource.open(path)))
    named = BagSource.open(path, SourceOptions(pose_topic="/robot2/tf"))
    assert next(iter(named)).pose is not None
    assert np.allclose([frame.pose.position[0] for frame in named if frame.pose], 70)


def test_publishers_that_contradict_each_other_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = two_robots(tmp_path / "drive", "/odom", {"/a/tf_static": "/robot2", "/b/tf_static": "/robot1"})
    assert len(list(BagSource.open(path))) == 6
    assert "static transforms of base_link <- gps_link contradict each other" in caplog.text


def test_video_is_named() -> None:
    topics = {"/video": Topic("/video", "foxglove_msgs/CompressedVideo", 9)}
    found = r"no images; .*none; all topics: /video \(foxglove_msgs/.*; video is not read, decode it to"
    with pytest.raises(SourceError, match=found):
        choose_image_topic(topics, None)


def test_names_with_and_without_their_slash() -> None:
    topics = {"/odom": Topic("/odom", "nav_msgs/Odometry", 3)}
    assert existing(topics, ["odom"]) == {"/odom"}
    with pytest.raises(SourceError, match=r"no topic /camera; topics in the bag: /odom"):
        existing(topics, ["/camera"])
    assert choose_pose_topic(topics, None, "/camera/image") == topics["/odom"]
