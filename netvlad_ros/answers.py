"""One answer to one image, told to everybody: topics, picture, path, and the outputs for other programs."""

from __future__ import annotations

from collections import deque

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from nav_msgs.msg import Path
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from netvlad_core.localization.answer import Localization
from netvlad_core.localization.tracking.sequence_filter import State
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_ros import conversions, markers
from netvlad_ros.camera_node import CameraNode
from netvlad_ros.diagnostics import Statistics
from netvlad_ros.match_image import draw_match
from netvlad_ros.moment import Moment
from netvlad_ros.msg import GlobalDescriptor, MapInfo, PlaceMatches
from netvlad_ros.outputs import Output, open_outputs
from netvlad_ros.outputs.route_place import RoutePlaces

_QOS = QoSProfile(depth=10)
_PICTURE_QOS = QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)
_LATCHED_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# ~/path has a pose every half metre, and no more than half a kilometre of them.
_PATH_STEP = 0.5  # metres
_MOST_POSES = 1000


class Answers:
    """Publishes what the localizer finds, in the frame of the map that it was found in.

    State, pose, picture and markers all speak of `Localization.place`. Topics exist as long as the node does;
    those of images are silent until it is activated.

    Parameters
    ----------
    node : makes the publishers, and has the parameters.
    statistics : counts what is published.
    """

    def __init__(self, node: CameraNode, statistics: Statistics) -> None:
        self._node = node
        self._statistics = statistics
        self._outputs: list[Output] = []
        self._routes: RoutePlaces | None = None
        self._path: deque[PoseStamped] = deque(maxlen=_MOST_POSES)
        publisher = node.create_lifecycle_publisher
        self._matches = publisher(PlaceMatches, "~/matches", _QOS)
        self._descriptor = publisher(GlobalDescriptor, "~/descriptor", _QOS)
        self._pose = publisher(PoseWithCovarianceStamped, "~/pose", _QOS)
        self._path_publisher = publisher(Path, "~/path", _QOS)
        self._markers = publisher(MarkerArray, "~/markers", _QOS)
        self._match_image = publisher(Image, "~/match_image", _PICTURE_QOS)
        # Which map is open is true in every state, so these know no lifecycle.
        self._map_info = node.create_publisher(MapInfo, "~/map_info", _LATCHED_QOS)
        self._map_markers = node.create_publisher(MarkerArray, "~/map_markers", _LATCHED_QOS)

    def open_outputs(self) -> None:
        """Start the outputs that the parameters ask for."""
        self._outputs = open_outputs(self._node, self._statistics.count)
        self._routes = RoutePlaces(self._node) if self._node.value("publish_route_place") else None

    def close_outputs(self) -> None:
        """Take their topics back."""
        while self._outputs:
            self._outputs.pop().close()
        if self._routes is not None:
            self._routes.close()
            self._routes = None

    def forget(self) -> None:
        """Another map is open, the odometry starts anew or the robot was carried: begin a new path."""
        self._path = deque(maxlen=_MOST_POSES)
        for output in self._outputs:
            output.forget()

    def header(self, place_map: PlaceMap, stamp: Time) -> Header:
        """Header of a pose in a map: the map's own frame, unless the parameter map_frame renames it."""
        return Header(stamp=stamp, frame_id=self._node.value("map_frame") or place_map.header.frame_id)

    def tell_map(self, place_map: PlaceMap | None) -> None:
        """Publish which map is open, for those who come later, too; None: none is."""
        now = self._node.get_clock().now().to_msg()
        if place_map is None:
            header = Header(stamp=now, frame_id=self._node.value("map_frame"))
        else:
            header = self.header(place_map, now)
            self._tell_frame(header.frame_id, place_map.header.frame_id)
        info = conversions.map_to_message(place_map, header)
        dots = markers.path_markers(place_map, header.frame_id)
        self._map_info.publish(info)
        self._map_markers.publish(dots)

    def _tell_frame(self, frame: str, own: str) -> None:
        if frame == own:
            self._node.get_logger().info(f"poses are in {frame!r}, the frame that the map was built in")
        else:
            self._node.get_logger().warning(
                f"the map was built in the frame {own!r}, and its poses are published as {frame!r} without a "
                "transform, as map_frame asks; this is right only if both frames have the same origin"
            )

    def publish_lost(self, moment: Moment, reason: str, place_map: PlaceMap) -> None:
        """Tell that the map cannot be searched: whoever waits for an answer gets one."""
        self._statistics.count(State.LOST.name)
        header = self.header(place_map, moment.header.stamp)
        self._matches.publish(conversions.lost_to_message(reason, place_map, header))

    def publish(
        self, moment: Moment, answer: Localization, place_map: PlaceMap, is_current: bool = True
    ) -> None:
        """Tell the answer to one moment, which was found in this map.

        The outputs do not hear of an answer that is not current: since its image came, the robot was carried
        away, or another map opened.
        """
        header = self.header(place_map, moment.header.stamp)
        self._statistics.count(answer.state.name)
        self._matches.publish(conversions.matches_to_message(answer, place_map, header))
        if answer.prior is not None:
            pose = conversions.prior_to_message(answer.prior, header)
            self._pose.publish(pose)
            self._publish_path(PoseStamped(header=header, pose=pose.pose.pose))
        for output in self._outputs if is_current else ():
            output.send(answer, moment, header)
        if self._routes is not None and is_current:
            self._routes.send(answer, place_map, header)
        if self._node.value("publish_descriptor"):
            model_id = place_map.header.model_id
            described = conversions.descriptor_to_message(answer.descriptor, model_id, moment.header)
            self._descriptor.publish(described)
        if self._markers.get_subscription_count():
            radius = self._node.value("agreement_radius")
            self._markers.publish(markers.match_markers(answer, place_map.pose(answer.place), radius, header))
        if self._match_image.get_subscription_count():
            self._match_image.publish(_picture(moment, answer, place_map))

    def _publish_path(self, pose: PoseStamped) -> None:
        path = self._path  # another thread may begin a new one meanwhile
        if not path or _distance(path[-1], pose) >= _PATH_STEP:
            path.append(pose)
            if self._path_publisher.get_subscription_count():
                self._path_publisher.publish(Path(header=pose.header, poses=list(path)))


def _picture(moment: Moment, answer: Localization, place_map: PlaceMap) -> Image:
    place = place_map.image(answer.place)
    if place is None:  # the map keeps no images, for privacy
        place = np.full_like(moment.image, 90)
    return conversions.image_to_message(draw_match(moment.image, place, answer), moment.header)


def _distance(a: PoseStamped, b: PoseStamped) -> float:
    p, q = a.pose.position, b.pose.position
    return float(np.linalg.norm([p.x - q.x, p.y - q.y, p.z - q.z]))
