"""The localizer as a ROS 2 lifecycle node: images in; matches, pose, markers and diagnostics out."""

from __future__ import annotations

from threading import Event
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from netvlad_core.data.camera import Camera
from netvlad_core.errors import NetvladError
from netvlad_core.localization.localizer import Localization, Localizer, LocalizerOptions
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.settings import with_settings
from netvlad_ros import conversions, markers
from netvlad_ros.camera_node import CameraNode, run_node
from netvlad_ros.diagnostics import Problem
from netvlad_ros.map_services import MapServices
from netvlad_ros.match_image import draw_match
from netvlad_ros.moment import Moment
from netvlad_ros.msg import GlobalDescriptor, MapInfo, PlaceMatches
from netvlad_ros.open_map import OpenMap
from netvlad_ros.outputs import Output, open_outputs
from netvlad_ros.parameters import PARAMETERS, SETTINGS
from netvlad_ros.robot_input import newest_qos

_NO_MAP = "no map is open; call the service load_map or set the parameter map"
_OUTPUT_QOS = QoSProfile(depth=10)
_LATCHED_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class LocalizeNode(CameraNode):
    """Finds camera images in a map.

    Configuring opens the map and warms the network up; activating subscribes to the images. The network runs
    in a worker thread of its own, so the executor always answers. Topics and services are there as long as
    the node is: whatever its state, a caller gets an answer and diagnostics tell what is missing.
    """

    def __init__(self, **kwargs: Any) -> None:
        self._map = OpenMap(self._tell_map)
        self._outputs: list[Output] = []
        self._to_forget = Event()
        self._verifies = False
        self._option_values: dict[str, Any] = {}
        self._last_options = LocalizerOptions()
        self._map_frame = ""
        super().__init__("localizer", PARAMETERS, **kwargs)
        self.odometry = self.input._odometry
        self._create_publishers()
        self._map_services = MapServices(self)
        self.start()

    @property
    def localizer(self) -> Localizer | None:
        """The open map with its network, or None."""
        return self._map.localizer

    # --- Lifecycle ------------------------------------------------------------------------------------------

    def configure(self) -> None:
        """Open the map named by the parameters, or wait for the service load_map."""
        self._map_frame = self.value("map_frame")
        self._verifies = self.value("verification")
        self._map.allow()
        if self.value("map"):
            self.open_map(self.value("map"))
        else:
            self.get_logger().warning("the parameter 'map' is empty: waiting for the service ~/load_map")

    def activate(self) -> None:
        """Open the outputs for other programs."""
        self.forget()
        self._outputs = open_outputs(self)

    def deactivate(self) -> None:
        """Close the outputs."""
        while self._outputs:
            self._outputs.pop().close()

    def cleanup(self) -> None:
        """Close the map."""
        self._map.close()

    def open_map(self, path: str) -> None:
        """Open a map and its network; on an error the map that was open stays so.

        Raises
        ------
        NetvladError
            If the map or its network cannot be used, or the node is not configured.
        """
        value = self.value
        opened = self._map.open(path, value("weights"), value("device"), self._options(), value("precision"))
        self.forget()
        facts = opened.place_map.header
        self.get_logger().info(
            f"map {facts.map_id}: {facts.places} places, model {facts.model_id}, "
            f"on {opened.extractor.device} in {opened.extractor.precision}"
        )

    # --- Work -----------------------------------------------------------------------------------------------

    def work(self, moment: Moment) -> None:
        """Answer one moment: observe, track, publish."""
        localizer = self._map.with_options(self._options())
        if localizer is None:
            raise NetvladError(_NO_MAP)
        if self._to_forget.is_set():
            self._to_forget.clear()
            localizer.forget()
        observation = localizer.observe(
            moment.image, moment.stamp, moment.odometry, moment.camera, timed=self.statistics.timed
        )
        with self.statistics.timed("search"):
            is_drive = localizer.options.sequence_filter
            answer = localizer.track(observation) if is_drive else localizer.locate(observation)
        with self.statistics.timed("publish"):
            self._publish(localizer, moment.header, moment.image, answer)

    def forget(self) -> None:
        """Have the sequence filter and the outputs forget where the robot was."""
        self._to_forget.set()
        for output in self._outputs:
            output.forget()

    relocalize = forget

    def map_camera(self) -> Camera | None:
        return None if self.localizer is None else self.localizer.place_map.camera

    def answer_alone(
        self, localizer: Localizer, message: Image | CompressedImage
    ) -> tuple[np.ndarray, Localization]:
        """Decode and localize one image by itself; raises ImageError."""
        image = conversions.image_from_message(message)
        stamp = conversions.stamp_to_nanoseconds(message.header.stamp)
        return image, localizer.locate(localizer.observe(image, stamp))

    # --- Health ---------------------------------------------------------------------------------------------

    def problems(self) -> list[Problem]:
        localizer = self.localizer
        if localizer is None:
            return [Problem("no map", _NO_MAP, is_fatal=True)]
        stored = localizer.place_map.header.store_images
        if self._verifies and stored != "full":
            text = (
                f"verification compares with {stored} images of the map {localizer.place_map.header.map_id}, "
                "which are too small to measure poses; build it with --store-images full"
            )
            return [Problem("small images", text)]
        return []

    def facts(self) -> dict[str, str]:
        if self.localizer is None:
            return {}
        header = self.localizer.place_map.header
        return {"map_id": header.map_id, "model_id": header.model_id}

    # --- Topics ---------------------------------------------------------------------------------------------

    def _create_publishers(self) -> None:
        publisher = self.create_lifecycle_publisher
        self._matches = publisher(PlaceMatches, "~/matches", _OUTPUT_QOS)
        self._descriptor = publisher(GlobalDescriptor, "~/descriptor", _OUTPUT_QOS)
        self._pose = publisher(PoseWithCovarianceStamped, "~/pose", _OUTPUT_QOS)
        self._markers = publisher(MarkerArray, "~/markers", _OUTPUT_QOS)
        self._match_image = publisher(Image, "~/match_image", newest_qos())
        # Which map is open is true in every state, so these know no lifecycle.
        self._map_info = self.create_publisher(MapInfo, "~/map_info", _LATCHED_QOS)
        self._map_markers = self.create_publisher(MarkerArray, "~/map_markers", _LATCHED_QOS)

    def _tell_map(self, place_map: PlaceMap | None) -> None:
        header = self.header(self.get_clock().now().to_msg())
        self._map_info.publish(conversions.map_to_message(place_map, header))
        self._map_markers.publish(markers.path_markers(place_map, header))

    def _publish(
        self, localizer: Localizer, image_header: Header, image: np.ndarray, answer: Localization
    ) -> None:
        header = self.header(image_header.stamp)
        self.statistics.count(answer.state.name)
        self._matches.publish(conversions.matches_to_message(answer, localizer.place_map, header))
        if answer.prior is not None:
            self._pose.publish(conversions.prior_to_message(answer.prior, header))
        for output in self._outputs:
            output.send(answer, header)
        if self.value("publish_descriptor"):
            model_id = localizer.extractor.model_id
            self._descriptor.publish(
                conversions.descriptor_to_message(answer.descriptor, model_id, image_header)
            )
        if self._markers.get_subscription_count():
            self._markers.publish(markers.match_markers(answer, header))
        if self._match_image.get_subscription_count():
            place = localizer.place_map.image(answer.matches[0].place)
            if place is None:  # the map keeps no images, for privacy
                place = np.full_like(image, 90)
            picture = draw_match(image, place, answer)
            self._match_image.publish(conversions.image_to_message(picture, image_header))

    def header(self, stamp: Time) -> Header:
        """Header of an answer: its stamp, in the frame of the map."""
        return Header(stamp=stamp, frame_id=self._map_frame)

    # --- Parameters -----------------------------------------------------------------------------------------

    def _options(self) -> LocalizerOptions:
        """Options as the parameters say now; the same object as long as they say the same."""
        values = {name: self.value(name) for name in SETTINGS} | {"verification": self._verifies}
        if values != self._option_values:
            self._option_values, self._last_options = values, with_settings(LocalizerOptions(), values)
        return self._last_options


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is told to stop."""
    return run_node(LocalizeNode, arguments)
