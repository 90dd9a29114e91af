"""What RViz and Foxglove show: the map; for each image the matches, the place found and the state."""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.answer import Localization
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_ros.match_image import STATE_COLORS, headline

_PATH_COLOR = (140, 140, 150)
# A path of more points is thinned: rviz draws it every time somebody joins.
_MOST_PATH_POINTS = 5000
# Markers of an image disappear when no other image follows.
_LIFETIME = Duration(sec=5)
# The text stands beside its place, not on it, seen from above and from the side: metres in x, y, z.
_TEXT_OFFSET = np.array([0.0, 3.0, 2.0])


def path_markers(place_map: PlaceMap | None, frame_id: str) -> MarkerArray:
    """The places of the map as dots; without a map, or with one that has no poses, the last dots go.

    Their stamp is 0, which rviz takes for "now": they stay valid however long ago the map was opened.
    """
    dots = _marker(Header(frame_id=frame_id), "places", Marker.POINTS, 0.3, _PATH_COLOR)
    if place_map is not None:
        step = -(-len(place_map) // _MOST_PATH_POINTS)
        dots.points = _points(place_map.poses[::step, :3])
    return _drawn([dots])


def match_markers(answer: Localization, place: Pose | None, radius: float, header: Header) -> MarkerArray:
    """Small spheres at the matches; a large one and the state as text at the place; lines to its support.

    Parameters
    ----------
    place : pose of `answer.place`, of which the answer speaks; None if the map does not know it.
    radius : metres; the pose is joined by a line to each match that is this near to the place.
    """
    color = STATE_COLORS[answer.state]
    matches = _marker(header, "matches", Marker.SPHERE_LIST, 1.0, color)
    positions = np.array([match.pose.position for match in answer.matches if match.pose]).reshape(-1, 3)
    matches.points = _points(positions)
    found = _marker(header, "place", Marker.SPHERE_LIST, 2.0, color)
    lines = _marker(header, "support", Marker.LINE_LIST, 0.1, color)
    text = _marker(header, "state", Marker.TEXT_VIEW_FACING, 1.5, color)
    if place is not None:
        found.points = _points(place.position[None])
        (text.pose.position,) = _points((place.position + _TEXT_OFFSET)[None])
        text.text = headline(answer).replace("  ", "\n")
        if answer.prior is not None:
            origin = _points(answer.prior.pose.position[None])
            near = positions[np.linalg.norm(positions - place.position, axis=1) <= radius]
            lines.points = [point for match in _points(near) for point in (*origin, match)]
    markers = [matches, found, lines, text]
    for marker in markers:
        marker.lifetime = _LIFETIME
    return _drawn(markers)


def _drawn(markers: list[Marker]) -> MarkerArray:
    """Take away what is empty: rviz refuses such a marker, and keeps the one from before."""
    for marker in markers:
        if not (marker.points or marker.text):
            marker.action = Marker.DELETE
    return MarkerArray(markers=markers)


def _marker(header: Header, namespace: str, kind: int, size: float, color: tuple[int, int, int]) -> Marker:
    marker = Marker(header=header, ns=namespace, type=kind)
    marker.pose.orientation.w = 1.0
    marker.scale.x = marker.scale.y = marker.scale.z = size
    red, green, blue = (value / 255 for value in color)
    marker.color = ColorRGBA(r=red, g=green, b=blue, a=0.9)
    return marker


def _points(positions: np.ndarray) -> list[Point]:
    return [Point(x=x, y=y, z=z) for x, y, z in positions.tolist() if np.isfinite([x, y, z]).all()]
