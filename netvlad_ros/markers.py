"""What rviz shows: the places of the map, and for each image the matches and the place that was found."""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.localizer import Localization, State
from netvlad_core.mapping.place_map import PlaceMap

_STATE_COLORS = {
    State.LOST: (0.8, 0.2, 0.2),
    State.AMBIGUOUS: (0.95, 0.7, 0.1),
    State.LOCALIZED: (0.2, 0.7, 0.3),
}
_PATH_COLOR = (0.55, 0.55, 0.6)
# A path of more points is thinned: rviz draws it every time somebody joins.
_MOST_PATH_POINTS = 5000
# Markers of an image disappear when no other image follows.
_LIFETIME = Duration(sec=5)


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
    """Small spheres at the matches, a large one at the place that the answer speaks of, and its support.

    Parameters
    ----------
    place : pose of `answer.place`, None if the map does not know it.
    radius : metres; the pose is joined by a line to each match that is this near to the place.
    """
    color = _STATE_COLORS[answer.state]
    matches = _marker(header, "matches", Marker.SPHERE_LIST, 1.0, color)
    positions = np.array([match.pose.position for match in answer.matches if match.pose]).reshape(-1, 3)
    matches.points = _points(positions)
    found = _marker(header, "place", Marker.SPHERE_LIST, 2.0, color)
    lines = _marker(header, "support", Marker.LINE_LIST, 0.1, color)
    if place is not None:
        found.points = _points(place.position[None])
        if answer.prior is not None:
            origin = _points(answer.prior.pose.position[None])
            near = positions[np.linalg.norm(positions - place.position, axis=1) <= radius]
            lines.points = [point for match in _points(near) for point in (*origin, match)]
    markers = [matches, found, lines]
    for marker in markers:
        marker.lifetime = _LIFETIME
    return _drawn(markers)


def _drawn(markers: list[Marker]) -> MarkerArray:
    """Take away what has no points: rviz refuses an empty marker, and keeps the one from before."""
    for marker in markers:
        if not marker.points:
            marker.action = Marker.DELETE
    return MarkerArray(markers=markers)


def _marker(
    header: Header, namespace: str, kind: int, size: float, color: tuple[float, float, float]
) -> Marker:
    marker = Marker(header=header, ns=namespace, type=kind)
    marker.pose.orientation.w = 1.0
    marker.scale.x = marker.scale.y = marker.scale.z = size
    marker.color = ColorRGBA(r=color[0], g=color[1], b=color[2], a=0.9)
    return marker


def _points(positions: np.ndarray) -> list[Point]:
    return [Point(x=x, y=y, z=z) for x, y, z in positions.tolist() if np.isfinite([x, y, z]).all()]
