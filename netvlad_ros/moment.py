"""What the robot had at the stamp of one image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from std_msgs.msg import Header

from netvlad_core.data.camera import Camera
from netvlad_core.data.geometry import Pose


@dataclass(frozen=True)
class Moment:
    """One image of the camera, with all that belongs to it.

    Attributes
    ----------
    header : of the image's message; if that has no stamp, the time of its arrival stands in the header.
    stamp : nanoseconds, of the header.
    image : uint8 RGB (H, W, 3).
    odometry : odom <- base_link at the stamp, None if it is not known.
    odometry_frame : name of the frame odom, empty if the odometry has none.
    is_joined : False if the odometry is of another frame of the robot, and nothing joins that with base_link.
    camera : calibration and place of the camera on the robot, None if they are not known.
    """

    header: Header
    stamp: int
    image: np.ndarray
    odometry: Pose | None = None
    odometry_frame: str = ""
    is_joined: bool = True
    camera: Camera | None = None
