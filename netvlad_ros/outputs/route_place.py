"""`~/route_place`: where the robot is along a route of the map, for navigation from place to place."""

from __future__ import annotations

import numpy as np
from rclpy.node import Node
from std_msgs.msg import Header

from netvlad_core.localization.answer import NO_POSES, Localization
from netvlad_core.localization.tracking.sequence_filter import State
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.routes import RoutePlace, Routes
from netvlad_ros import msg


class RoutePlaces:
    """Publishes the place along its route whenever the place is known, in a map without poses, too."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher = node.create_publisher(msg.RoutePlace, "~/route_place", 10)
        self._of: PlaceMap | None = None

    def send(self, answer: Localization, place_map: PlaceMap, header: Header) -> None:
        """Take the answer to one image in a map; header: its stamp, and the frame of the map."""
        if not _is_known(answer):
            return
        if self._of is not place_map:
            self._of, self._routes = place_map, Routes(place_map)
        route = self._routes[answer.place]
        message = msg.RoutePlace(header=header, map_id=place_map.header.map_id, place_id=answer.place)
        message.route = place_map.drives[route.session]["name"]
        message.index, message.count = route.index, route.count
        message.distance, message.heading = route.distance, route.heading
        message.is_reversed, message.probability = _is_reversed(answer, route), answer.probability
        self._publisher.publish(message)

    def close(self) -> None:
        """Take the topic back."""
        self._node.destroy_publisher(self._publisher)


def _is_known(answer: Localization) -> bool:
    """Whether the place is: only a pose may be missing, since the map has none."""
    belief = answer.belief
    in_order = belief is not None and belief.state is State.LOCALIZED and answer.reason == NO_POSES
    return in_order or answer.state is State.LOCALIZED


def _is_reversed(answer: Localization, route: RoutePlace) -> bool:
    if answer.prior is not None and np.isfinite(route.heading):
        return bool(np.cos(answer.prior.pose.yaw - route.heading) < 0)
    return answer.belief is not None and answer.belief.is_reversed
