"""What rviz shows: the map's path, the matches and how sure they are."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

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


def path_markers(place_map: PlaceMap | None, header: Header) -> MarkerArray:
    """The places of the map as dots; without a map, or one with poses, the dots of the last one go."""
    dots = _marker(header, "places", Marker.POINTS, 0.3, _PATH_COLOR)
    if place_map is not None:
        step = -(-len(place_map) // _MOST_PATH_POINTS)
        dots.points = _points(place_map.poses[::step, :3])
    return _drawn([dots])


def match_markers(answer: Localization, header: Header) -> MarkerArray:
    """Spheres at the matches, in the colour of the state, and a line from the pose to each."""
    color = _STATE_COLORS[answer.state]
    spheres = _marker(header, "matches", Marker.SPHERE_LIST, 1.0, color)
    spheres.points = _points(np.array([match.pose.position for match in answer.matches if match.pose]))
    lines = _marker(header, "support", Marker.LINE_LIST, 0.1, color)
    if answer.prior is not None:
        origin = _points(answer.prior.pose.position[None])
        lines.points = [point for place in spheres.points for point in (*origin, place)]
    return _drawn([spheres, lines])


def _drawn(markers: list[Marker]) -> MarkerArray:
    """What has no points is taken away: rviz refuses an empty marker, and keeps the one from before."""
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
