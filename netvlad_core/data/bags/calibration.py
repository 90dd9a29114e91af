"""The calibration of the camera of a bag: camera_info beside its images, and its place on the robot."""

from __future__ import annotations

import logging
from collections import Counter
from itertools import islice
from pathlib import Path, PurePosixPath

from netvlad_core.data.bags.bag_file import Bag
from netvlad_core.data.bags.poses import read_static_transforms
from netvlad_core.data.camera import Camera, is_rectified
from netvlad_core.data.transforms import frame_name
from netvlad_core.errors import BrokenMessage, CameraError

_log = logging.getLogger(__name__)
_TYPE = "sensor_msgs/CameraInfo"
# Drivers send a few messages before their calibration is loaded; most of these have it.
_ENOUGH = 50


def read_camera(path: Path, image_topic: str, base_frame: str, pose_topic: str = "") -> Camera | None:
    """Read the calibration of the camera of an image topic.

    Parameters
    ----------
    image_topic : /camera/image_raw or one below it; its calibration is on /camera/camera_info.
    base_frame : name of the robot's frame.
    pose_topic : topic of the same robot, whose namespace the camera may not share.

    Returns
    -------
    None if the bag holds no calibration, or /tf_static does not lead to the base. A camera is of use but not
    required, so what is wrong with it goes to the log.
    """
    cameras: Counter[str] = Counter()
    problems: Counter[str] = Counter()
    with Bag(path) as bag:
        parents = PurePosixPath(image_topic).parents
        beside = [topic for parent in parents if (topic := bag.topics.get(str(parent / "camera_info")))]
        topic = next((topic for topic in beside if topic.type == _TYPE), None)
        if topic is None or not topic.count:
            return None
        tree = read_static_transforms(bag, image_topic, pose_topic)
        for raw in islice(bag.messages([topic.name]), _ENOUGH):
            try:
                info = bag.decode(raw)
                frame = frame_name(info.header.frame_id)
                mounting = tree.fixed_between(base_frame, frame)
                if mounting is None:
                    raise CameraError(f"/tf_static does not join the camera frame {frame} to {base_frame}")
                cameras[Camera.from_message(info, mounting, is_rectified(image_topic)).to_json()] += 1
            except (BrokenMessage, CameraError) as error:
                problems[str(error)] += 1
    if cameras:
        return Camera.from_json(cameras.most_common(1)[0][0])
    _log.warning("going on without the calibration on %s: %s", topic.name, problems.most_common(1)[0][0])
    return None
