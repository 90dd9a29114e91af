"""Answers of a localizer, made by hand."""

from __future__ import annotations

import numpy as np
from std_msgs.msg import Header

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.answer import Localization
from netvlad_core.localization.pose_prior import PosePrior
from netvlad_core.localization.tracking.sequence_filter import Belief, State
from netvlad_core.mapping.places import Match
from netvlad_ros.conversions import stamp_from_nanoseconds
from netvlad_ros.moment import Moment

SECOND = 10**9


def moment(
    stamp: int = SECOND, odometry: Pose | None = None, frame: str = "odom", is_joined: bool = True
) -> Moment:
    """A moment with a black image."""
    header = Header(stamp=stamp_from_nanoseconds(stamp), frame_id="camera")
    image = np.zeros((48, 64, 3), np.uint8)
    return Moment(header, stamp, image, odometry, frame, is_joined)


def localized(
    pose: Pose, stamp: int = SECOND, believed: int = 7, matches: tuple[Match, ...] = ()
) -> Localization:
    """A pose from a drive that believes in one place, whatever this image resembles most."""
    belief = Belief(State.LOCALIZED, 1.0, believed, 0.97, is_reversed=False)
    prior = PosePrior(pose, np.diag([4.0, 4.0, 1.0, 0.1, 0.1, 0.2]), 1.0)
    matches = matches or (Match(3, 0, 0.9, None), Match(believed, 0, 0.8, pose))
    return Localization(
        stamp, State.LOCALIZED, matches, prior, np.ones(8, np.float32), confidence=1.0, belief=belief
    )


def lost(stamp: int = SECOND) -> Localization:
    """An image that shows no place that is known."""
    return Localization(
        stamp, State.LOST, (Match(3, 0, 0.1, None),), None, np.ones(8, np.float32), 0.0, reason="not similar"
    )
