"""What AMCL of each release of Nav2 demands of a pose on `initialpose`, written from its source.

Read at 3c3db59 (Humble), f4108e5 (Jazzy), 71a1d84 (Kilted) and a3a9704 (main): `initialPoseReceived` of
nav2_amcl and the check of messages that it calls.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

from geometry_msgs.msg import PoseWithCovarianceStamped

RELEASES = ("humble", "jazzy", "kilted", "main")
_FRAME = "map"  # AMCL's global_frame_id
_MOST_VARIANCE = 1e9


def _numbers(message: PoseWithCovarianceStamped) -> list[float]:
    p, q = message.pose.pose.position, message.pose.pose.orientation
    return [p.x, p.y, p.z, q.x, q.y, q.z, q.w, *message.pose.covariance]


def _is_unit(message: PoseWithCovarianceStamped) -> bool:
    q = message.pose.pose.orientation
    return abs(q.x**2 + q.y**2 + q.z**2 + q.w**2 - 1) < 1e-4


def _is_in_frame(message: PoseWithCovarianceStamped, release: str) -> bool:
    frame = message.header.frame_id
    return (frame if release == "main" else frame.removeprefix("/")) == _FRAME


def _has_variances(message: PoseWithCovarianceStamped, release: str) -> bool:
    return release != "main" or all(0 <= entry <= _MOST_VARIANCE for entry in message.pose.covariance)


def _is_on_the_map(message: PoseWithCovarianceStamped, release: str, cells: tuple[int, int]) -> bool:
    """Metres are compared with numbers of cells, as AMCL does."""
    p = message.pose.pose.position
    return release == "humble" or (abs(p.x) <= cells[0] and abs(p.y) <= cells[1])


def refusal(message: PoseWithCovarianceStamped, release: str, cells: tuple[int, int]) -> str:
    """Rule that a message breaks, by name, in the order of AMCL's checks; empty: AMCL starts there.

    Parameters
    ----------
    cells : columns and rows of AMCL's map.
    """
    rules: dict[str, Callable[[], bool]] = {
        "stamp": lambda: message.header.stamp.nanosec < 10**9,
        "no frame": lambda: message.header.frame_id != "",
        "not finite": lambda: all(map(isfinite, _numbers(message))),
        "quaternion": lambda: _is_unit(message),
        "covariance": lambda: _has_variances(message, release),
        "frame": lambda: _is_in_frame(message, release),
        "off the map": lambda: _is_on_the_map(message, release, cells),
    }
    return next((name for name, holds in rules.items() if not holds()), "")
