"""The localizer as a ROS 2 lifecycle node: images in; matches, pose, markers and diagnostics out."""

from __future__ import annotations

import shutil
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from netvlad_core.errors import ImageError, NetvladError
from netvlad_core.files import replace_directory
from netvlad_core.localization.localizer import Localization, Localizer
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_ros import conversions, markers
from netvlad_ros.diagnostics import Statistics, status_message
from netvlad_ros.match_image import draw_match
from netvlad_ros.msg import GlobalDescriptor, MapInfo, PlaceMatches
from netvlad_ros.newest import NewestWorker
from netvlad_ros.parameters import PARAMETERS, declare_parameters, localizer_options, reason_to_refuse
from netvlad_ros.srv import LoadMap, Localize, SaveMap

# Camera drivers publish best effort; one image is enough, since only the newest is worked on.
_IMAGE_QOS = QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)
_OUTPUT_QOS = QoSProfile(depth=10)
_LATCHED_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_IMAGE_TOPICS = {"raw": ("image", Image), "compressed": ("image/compressed", CompressedImage)}
_IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
_DIAGNOSTICS_PERIOD = 1.0


class LocalizeNode(LifecycleNode):
    """Finds camera images in a map.

    Configuring opens the map and warms the network up; activating subscribes to the images. The network runs
    in a worker thread of its own, so the executor always answers.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("localizer", **kwargs)
        declare_parameters(self)
        self.add_on_set_parameters_callback(self._check_parameters)
        self.add_post_set_parameters_callback(self._apply_parameters)
        self._localizer: Localizer | None = None
        self._network_lock = Lock()
        self._worker: NewestWorker[Image | CompressedImage] | None = None
        self._image_subscription: Any = None
        self._statistics = Statistics()
        self._last_image_time: float | None = None
        self._last_stamp = 0
        self._state_name = "no image yet"
        self._silent = False
        if self._value("autostart"):
            self.trigger_configure()
            # Without a configured node (no map, a wrong one) there is nothing to activate; the log says why.
            if self._localizer is not None or not self._value("map"):
                self.trigger_activate()

    # --- Lifecycle ------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the map named by the parameters; fail with a sentence in the log if that cannot be done."""
        refused = reason_to_refuse([self.get_parameter(parameter.name) for parameter in PARAMETERS])
        if refused:
            self.get_logger().error(refused)
            return TransitionCallbackReturn.FAILURE
        self._create_interfaces()
        if not self._value("map"):
            self.get_logger().warning("the parameter 'map' is empty: waiting for the service ~/load_map")
            return TransitionCallbackReturn.SUCCESS
        try:
            self._open_map(self._value("map"))
        except NetvladError as error:
            self.get_logger().error(str(error))
            self._destroy_interfaces()
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to listen to the camera."""
        result = super().on_activate(state)
        self._publish_map()
        self._worker = NewestWorker(self._work)
        self._last_image_time = self._now()
        topic, message_type = _IMAGE_TOPICS[self._value("image_transport")]
        self._image_subscription = self.create_subscription(
            message_type,
            topic,
            self._on_image,
            _IMAGE_QOS,
            callback_group=MutuallyExclusiveCallbackGroup(),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self.get_logger().info(f"listening to {self._image_subscription.topic_name}")
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening; the map stays open."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the map and all topics."""
        self._destroy_interfaces()
        self._localizer = None
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop()
        return TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        """End the worker before the node goes."""
        self._stop()
        super().destroy_node()

    def _create_interfaces(self) -> None:
        publisher = self.create_lifecycle_publisher
        self._matches = publisher(PlaceMatches, "~/matches", _OUTPUT_QOS)
        self._descriptor = publisher(GlobalDescriptor, "~/descriptor", _OUTPUT_QOS)
        self._pose = publisher(PoseWithCovarianceStamped, "~/pose", _OUTPUT_QOS)
        self._markers = publisher(MarkerArray, "~/markers", _OUTPUT_QOS)
        self._match_image = publisher(Image, "~/match_image", _IMAGE_QOS)
        self._map_info = publisher(MapInfo, "~/map_info", _LATCHED_QOS)
        self._map_markers = publisher(MarkerArray, "~/map_markers", _LATCHED_QOS)
        # Diagnostics tell about the node in every state, so this publisher knows no lifecycle.
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", _OUTPUT_QOS)
        # A service waits for a map or for the network; in a group of its own it keeps nobody else waiting.
        group = MutuallyExclusiveCallbackGroup()
        self._servers = [
            self.create_service(LoadMap, "~/load_map", self._on_load_map, callback_group=group),
            self.create_service(SaveMap, "~/save_map", self._on_save_map, callback_group=group),
            self.create_service(Localize, "~/localize", self._on_localize, callback_group=group),
        ]
        self._timer = self.create_timer(
            _DIAGNOSTICS_PERIOD, self._publish_diagnostics, callback_group=MutuallyExclusiveCallbackGroup()
        )

    def _destroy_interfaces(self) -> None:
        self.destroy_timer(self._timer)
        for server in self._servers:
            self.destroy_service(server)
        for publisher in (
            self._matches,
            self._descriptor,
            self._pose,
            self._markers,
            self._match_image,
            self._map_info,
            self._map_markers,
            self._diagnostics,
        ):
            self.destroy_publisher(publisher)

    def _stop(self) -> None:
        if self._image_subscription is not None:
            self.destroy_subscription(self._image_subscription)
            self._image_subscription = None
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    # --- Images ---------------------------------------------------------------------------------------------

    def _on_image(self, message: Image | CompressedImage) -> None:
        self._statistics.count("images received")
        self._last_image_time = self._now()
        if self._worker is not None:
            self._worker.put(message)

    def _work(self, message: Image | CompressedImage) -> None:
        """Answer one image; whatever is wrong with it is counted, and the node lives on."""
        if self._localizer is None:
            self._statistics.skip("no map is open")
            return
        try:
            self._note_stamp(message.header)
            image, answer = self._answer(self._localizer, message)
        except ImageError as error:
            self._statistics.skip(str(error))
            self.get_logger().warning(f"image skipped: {error}", throttle_duration_sec=5.0)
            return
        except Exception as error:  # a GPU that goes away must not end the thread, and all answers with it
            self._statistics.skip(f"{type(error).__name__}: {error}")
            self.get_logger().error(f"image failed: {error!r}", throttle_duration_sec=5.0)
            return
        with self._statistics.timed("publish"):
            self._publish(self._localizer, message.header, image, answer)
        self._statistics.count("images localized")
        self._statistics.record("age at publication", (self._ros_now() - answer.stamp) / 1e9)

    def _answer(
        self, localizer: Localizer, message: Image | CompressedImage
    ) -> tuple[np.ndarray, Localization]:
        with self._statistics.timed("decode"):
            image = conversions.image_from_message(message)
        with self._network_lock, self._statistics.timed("network"):
            descriptor = localizer.extractor(image)[0]
        with self._statistics.timed("search"):
            answer = localizer.locate(descriptor, conversions.stamp_to_nanoseconds(message.header.stamp))
        return image, answer

    def _note_stamp(self, header: Header) -> None:
        stamp = conversions.stamp_to_nanoseconds(header.stamp)
        if stamp == 0:
            self._statistics.count("images without a stamp")
        elif stamp < self._last_stamp:
            self._statistics.count("clock jumped back")
        self._last_stamp = stamp

    def _publish(
        self, localizer: Localizer, image_header: Header, image: np.ndarray, answer: Localization
    ) -> None:
        header = Header(stamp=image_header.stamp, frame_id=self._value("map_frame"))
        self._state_name = answer.state.name
        self._statistics.count(answer.state.name)
        self._matches.publish(conversions.matches_to_message(answer, localizer.place_map, header))
        if answer.prior is not None:
            self._pose.publish(conversions.prior_to_message(answer.prior, header))
        if self._value("publish_descriptor"):
            model_id = localizer.extractor.model_id
            self._descriptor.publish(
                conversions.descriptor_to_message(answer.descriptor, model_id, image_header)
            )
        if self._markers.get_subscription_count():
            self._markers.publish(markers.match_markers(answer, header))
        if self._match_image.get_subscription_count():
            self._publish_match_image(localizer.place_map, image_header, image, answer)

    def _publish_match_image(
        self, place_map: PlaceMap, header: Header, image: np.ndarray, answer: Localization
    ) -> None:
        place = place_map.image(answer.matches[0].place)
        if place is None:  # the map keeps no images, for privacy
            place = np.full_like(image, 90)
        self._match_image.publish(conversions.image_to_message(draw_match(image, place, answer), header))

    # --- Map ------------------------------------------------------------------------------------------------

    def _open_map(self, path: str) -> None:
        """Open a map and its network; on an error the map that was open stays so."""
        options = localizer_options(self._values())
        opened = Localizer.open(path, self._value("weights") or None, self._value("device"), options)
        # The first run of a network is slow; it should not fall on the first image.
        with self._network_lock:
            opened.extractor(np.zeros((480, 640, 3), np.uint8))
        self._localizer = opened
        facts = opened.place_map.header
        self.get_logger().info(
            f"map {facts.map_id}: {facts.places} places, model {facts.model_id}, on {opened.extractor.device}"
        )

    def _publish_map(self) -> None:
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._value("map_frame"))
        place_map = self._localizer.place_map if self._localizer else None
        self._map_info.publish(conversions.map_to_message(place_map, header))
        if place_map is not None:
            self._map_markers.publish(markers.path_markers(place_map, header))

    def _on_load_map(self, request: LoadMap.Request, response: LoadMap.Response) -> LoadMap.Response:
        try:
            self._open_map(request.path)
            self._publish_map()
            response.success = True
        except NetvladError as error:
            response.message = str(error)
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._value("map_frame"))
        place_map = self._localizer.place_map if self._localizer else None
        response.info = conversions.map_to_message(place_map, header)
        return response

    def _on_save_map(self, request: SaveMap.Request, response: SaveMap.Response) -> SaveMap.Response:
        if self._localizer is None:
            response.message = "no map is open; call load_map first"
            return response
        target = Path(request.path) if request.path else self._localizer.place_map.path
        try:
            _copy_map(self._localizer.place_map.path, target)
            response.success = True
        except OSError as error:
            response.message = f"cannot write the map {target}: {error}"
        return response

    def _on_localize(self, request: Localize.Request, response: Localize.Response) -> Localize.Response:
        if self._localizer is None:
            response.message = "no map is open; call load_map first"
            return response
        message = request.image if len(request.image.data) else request.compressed
        try:
            _, answer = self._answer(self._localizer, message)
        except ImageError as error:
            response.message = str(error)
            return response
        header = Header(stamp=message.header.stamp, frame_id=self._value("map_frame"))
        response.success = True
        response.matches = conversions.matches_to_message(answer, self._localizer.place_map, header)
        if answer.prior is not None:
            response.has_pose = True
            response.pose = conversions.prior_to_message(answer.prior, header)
        return response

    # --- Parameters and health ------------------------------------------------------------------------------

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value

    def _values(self) -> dict[str, Any]:
        return {parameter.name: self._value(parameter.name) for parameter in PARAMETERS}

    def _check_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        refused = reason_to_refuse(changes)
        return SetParametersResult(successful=refused is None, reason=refused or "")

    def _apply_parameters(self, changes: list[Parameter]) -> None:
        if self._localizer is not None:
            self._localizer.options = localizer_options(self._values())
        later = [p.name for p in PARAMETERS if not p.is_live and any(p.name == c.name for c in changes)]
        if later and self._localizer is not None:
            names = ", ".join(later)
            self.get_logger().info(f"{names}: takes effect when the node is configured the next time")

    def _publish_diagnostics(self) -> None:
        worker, localizer = self._worker, self._localizer
        values = self._statistics.values()
        values["state"] = self._state_name
        values["overtaken by a newer image"] = str(worker.overtaken if worker else 0)
        if localizer is not None:
            values["map_id"] = localizer.place_map.header.map_id
            values["model_id"] = localizer.extractor.model_id
        status = status_message(self.get_fully_qualified_name(), "camera", self._problem(), values)
        header = Header(stamp=self.get_clock().now().to_msg())
        self._diagnostics.publish(DiagnosticArray(header=header, status=[status]))

    def _problem(self) -> str | None:
        if self._localizer is None:
            return "no map is open; call the service load_map or set the parameter map"
        if self._image_subscription is None:
            return "not active"
        silence = self._now() - (self._last_image_time or 0.0)
        if silence < self._value("image_timeout"):
            self._silent = False
            return None
        topic = self._image_subscription.topic_name
        problem = f"no image on {topic} for {silence:.0f} s; {self._image_topics()}"
        if not self._silent:
            self.get_logger().warning(problem)
        self._silent = True
        return problem

    def _image_topics(self) -> str:
        seen = [
            f"{name} ({kinds[0].replace('/msg/', '/')})"
            for name, kinds in self.get_topic_names_and_types()
            if kinds[0] in _IMAGE_TYPES and self.count_publishers(name)
        ]
        return "image topics seen: " + (", ".join(seen) or "none")

    def _now(self) -> float:
        """Seconds of a clock that never jumps, for time-outs."""
        return rclpy.clock.Clock(clock_type=rclpy.clock.ClockType.STEADY_TIME).now().nanoseconds / 1e9

    def _ros_now(self) -> int:
        return self.get_clock().now().nanoseconds


def _copy_map(source: Path, target: Path) -> None:
    """Copy a map folder, the copy appearing whole or not at all."""
    if target.exists() and source.samefile(target):
        return
    new = target.with_name(f".{target.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(source, new)
    replace_directory(new, target)


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is told to stop."""
    rclpy.init(args=arguments)
    node = LocalizeNode()
    executor = MultiThreadedExecutor(num_threads=4)
    executor.add_node(node)
    try:
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0
