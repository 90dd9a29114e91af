"""The localizer as a ROS 2 lifecycle node: images in; matches, pose, markers and diagnostics out."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from threading import Event, Lock
from time import monotonic
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from netvlad_core.data.camera import Camera, CameraError
from netvlad_core.errors import ImageError, NetvladError, PoseError
from netvlad_core.localization.geometry.verification import VerificationOptions
from netvlad_core.localization.localizer import Localization, Localizer, LocalizerOptions
from netvlad_core.localization.observation import Observation
from netvlad_core.localization.tracking.sequence_filter import SequenceOptions
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.memory import keep_freed_memory
from netvlad_ros import conversions, markers
from netvlad_ros.diagnostics import Statistics
from netvlad_ros.executor import ThreadedExecutor
from netvlad_ros.health import HealthReport
from netvlad_ros.map_services import MapServices
from netvlad_ros.match_image import draw_match
from netvlad_ros.msg import GlobalDescriptor, MapInfo, PlaceMatches
from netvlad_ros.newest import NewestWorker
from netvlad_ros.odometry import OdometryBuffer
from netvlad_ros.outputs import Output, open_outputs
from netvlad_ros.parameters import (
    MAPS_OWN_SIMILARITY,
    PARAMETERS,
    declare_parameters,
    names_for_later,
    reason_to_refuse,
)
from netvlad_ros.static_frames import StaticFrames

_OUTPUT_QOS = QoSProfile(depth=10)
_LATCHED_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_IMAGE_TOPICS = {"raw": ("image", Image), "compressed": ("image/compressed", CompressedImage)}


class LocalizeNode(LifecycleNode):
    """Finds camera images in a map.

    Configuring opens the map and warms the network up; activating subscribes to the images. The network runs
    in a worker thread of its own, so the executor always answers. Topics and services are there as long as
    the node is: whatever its state, a caller gets an answer and diagnostics tell what is missing.

    Attributes
    ----------
    localizer : the open map with its network, or None.
    is_configured : whether a map may be opened.
    listening_to : topic of the images while the node is active.
    last_image_time : of the monotonic clock, seconds.
    odometry : poses odom <- base_link of the last seconds.
    problem : what went wrong last and still matters.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("localizer", **kwargs)
        self.statistics = Statistics()
        self.localizer: Localizer | None = None
        self._tracker: Localizer | None = None  # knows the drive so far; the worker's own
        self.is_configured = False
        self.listening_to: str | None = None
        self.last_image_time = 0.0
        self.problem: str | None = None
        self._map_frame = ""
        self._map_lock = Lock()  # held while a map is opened or closed
        self._worker: NewestWorker[Image | CompressedImage] | None = None
        self._listeners: list[Any] = []
        self._outputs: list[Output] = []
        self.odometry = OdometryBuffer()
        self._static_frames = StaticFrames(self)
        self._to_forget = Event()
        self._last_stamp = 0
        self._verifies = False
        self._camera_info: CameraInfo | None = None
        declare_parameters(self)
        self.add_on_set_parameters_callback(self._check_parameters)
        self._create_publishers()
        self._map_services = MapServices(self)
        self._health_report = HealthReport(self)
        if self.value("autostart") and self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def _create_publishers(self) -> None:
        publisher = self.create_lifecycle_publisher
        self._matches = publisher(PlaceMatches, "~/matches", _OUTPUT_QOS)
        self._descriptor = publisher(GlobalDescriptor, "~/descriptor", _OUTPUT_QOS)
        self._pose = publisher(PoseWithCovarianceStamped, "~/pose", _OUTPUT_QOS)
        self._markers = publisher(MarkerArray, "~/markers", _OUTPUT_QOS)
        self._match_image = publisher(Image, "~/match_image", _image_qos())
        # Which map is open is true in every state, so these know no lifecycle.
        self._map_info = self.create_publisher(MapInfo, "~/map_info", _LATCHED_QOS)
        self._map_markers = self.create_publisher(MarkerArray, "~/map_markers", _LATCHED_QOS)

    # --- Lifecycle (rclpy swallows what these raise, so they report it themselves) --------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the map named by the parameters; fail with a sentence in the log if that cannot be done."""
        try:
            refused = reason_to_refuse([self.get_parameter(parameter.name) for parameter in PARAMETERS])
            if refused:
                raise NetvladError(refused)
            self._map_frame = self.value("map_frame")
            self._verifies = self.value("verification")
            self.is_configured = True
            if self.value("map"):
                self.open_map(self.value("map"))
            else:
                self.get_logger().warning("the parameter 'map' is empty: waiting for the service ~/load_map")
        except Exception as error:
            self._close_map()
            self._report(f"not configured: {sentence(error)}")
            return TransitionCallbackReturn.FAILURE
        self.problem = None
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to listen to the camera."""
        topic, message_type = _IMAGE_TOPICS[self.value("image_transport")]
        self.relocalize()
        self._outputs = open_outputs(self)
        self._worker = NewestWorker(self._work)
        try:
            images = self._subscribe(message_type, topic, self._on_image, _image_qos())
            self._subscribe(Odometry, "odom", self._on_odometry, _odometry_qos())
            if self._verifies:
                self._subscribe(CameraInfo, "camera_info", self._on_camera_info, _image_qos())
        except Exception as error:  # the user's qos_overrides
            self._stop()
            self._report(f"cannot subscribe to {topic}: {sentence(error)}")
            return TransitionCallbackReturn.FAILURE
        self.problem = None
        self.last_image_time = monotonic()
        self.listening_to = images.topic_name
        self.get_logger().info(f"listening to {self.listening_to}")
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening; the map stays open."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the map."""
        self._close_map()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop()
        self._close_map()
        return super().on_shutdown(state)

    def destroy_node(self) -> None:
        """End the worker before the node goes."""
        self._stop()
        super().destroy_node()

    def _stop(self) -> None:
        self.listening_to = None
        while self._listeners:
            self.destroy_subscription(self._listeners.pop())
        if self._worker is not None:
            self._worker.stop()
            self._worker = None
        for output in self._outputs:
            output.close()
        self._outputs = []

    def _subscribe(self, kind: type, topic: str, callback: Any, qos: QoSProfile) -> Any:
        self._listeners.append(
            self.create_subscription(
                kind,
                topic,
                callback,
                qos,
                callback_group=MutuallyExclusiveCallbackGroup(),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
        )
        return self._listeners[-1]

    def _report(self, problem: str) -> None:
        self.problem = problem
        self.get_logger().error(problem)

    # --- Map ------------------------------------------------------------------------------------------------

    def open_map(self, path: str) -> None:
        """Open a map and its network; on an error the map that was open stays so.

        Raises
        ------
        NetvladError
            If the map or its network cannot be used, or the node is not configured.
        """
        with self._map_lock:
            if not self.is_configured:
                raise NetvladError(f"the node is not configured, so it opens no map ({self.problem})")
            weights = self.value("weights")
            opened = Localizer.open(
                Path(path).expanduser(),
                Path(weights).expanduser() if weights else None,
                self.value("device"),
                self._options(),
                self.value("precision"),
            )
            # The first run of a network is slow; it should not fall on the first image.
            opened.observe(np.zeros((480, 640, 3), np.uint8))
            self.localizer = opened
            self.relocalize()
            self._publish_map(opened.place_map)
        facts = opened.place_map.header
        self.get_logger().info(
            f"map {facts.map_id}: {facts.places} places, model {facts.model_id}, "
            f"on {opened.extractor.device} in {opened.extractor.precision}"
        )

    def _close_map(self) -> None:
        with self._map_lock:
            self.is_configured = False
            if self.localizer is not None:
                self.localizer = None
                self._publish_map(None)

    def _publish_map(self, place_map: PlaceMap | None) -> None:
        header = self.header(self.get_clock().now().to_msg())
        self._map_info.publish(conversions.map_to_message(place_map, header))
        self._map_markers.publish(markers.path_markers(place_map, header))

    # --- Images ---------------------------------------------------------------------------------------------

    def _on_image(self, message: Image | CompressedImage) -> None:
        self.statistics.count("images received")
        self.last_image_time = monotonic()
        worker = self._worker  # another thread may deactivate the node meanwhile
        if worker is not None and worker.put(message):
            self.statistics.count("overtaken by a newer image")

    def _on_odometry(self, message: Odometry) -> None:
        self.statistics.count("odometry received")
        try:
            if not self.odometry.add(message):
                self.statistics.count("odometry started anew")
                self.relocalize()
        except PoseError as error:
            self.statistics.count("odometry refused")
            self.get_logger().warning(f"odometry refused: {error}", throttle_duration_sec=5.0)

    def _on_camera_info(self, message: CameraInfo) -> None:
        self._camera_info = message

    def relocalize(self) -> None:
        """Have the sequence filter forget what it knows before it takes the next image, and the outputs."""
        self._to_forget.set()
        for output in self._outputs:
            output.forget()

    def _work(self, message: Image | CompressedImage) -> None:
        """Answer one image; whatever is wrong with it is counted, and the node lives on."""
        localizer = self.localizer  # the service may open another one meanwhile
        if localizer is None:
            self.statistics.skip("no map is open")
            return
        try:
            self._note_stamp(conversions.stamp_to_nanoseconds(message.header.stamp))
            image, answer = self.answer(localizer, message)
            with self.statistics.timed("publish"):
                self._publish(localizer, message.header, image, answer)
        except ImageError as error:
            self._skip(str(error))
        except Exception as error:  # a GPU that goes away must not end the thread, and all answers with it
            self._skip(sentence(error))
        else:
            self.problem = None
            self.statistics.count("images localized")
            self._note_age("age when published", answer.stamp)

    def answer(
        self, localizer: Localizer, message: Image | CompressedImage
    ) -> tuple[np.ndarray, Localization]:
        """Decode and localize an image of the camera, as part of its drive if so set; raises ImageError."""
        if not self.value("sequence_filter"):
            return self.answer_alone(localizer, message)
        if self._tracker is None or self._tracker.place_map is not localizer.place_map:
            self._tracker = localizer
        localizer = self._tracker = self._tracker.with_options(self._options())
        image, observation = self._observe(localizer, message)
        stamp = observation.stamp
        with self.statistics.timed("search"):
            if self._to_forget.is_set():
                self._to_forget.clear()
                localizer.forget()
            odometry = self.odometry.at(stamp)
            self.statistics.count("images with odometry" if odometry else "images without odometry")
            # An image without a stamp was taken about now.
            now = stamp or self.get_clock().now().nanoseconds
            answer = localizer.track(replace(observation, stamp=now, odometry=odometry))
        return image, replace(answer, stamp=stamp)

    def answer_alone(
        self, localizer: Localizer, message: Image | CompressedImage
    ) -> tuple[np.ndarray, Localization]:
        """Decode and localize one image by itself; raises ImageError."""
        localizer = localizer.with_options(self._options())
        image, observation = self._observe(localizer, message)
        with self.statistics.timed("search"):
            answer = localizer.locate(observation)
        return image, answer

    def _camera(self, localizer: Localizer) -> Camera | None:
        """The camera as camera_info and /tf_static describe it; None lets the map's own stand for it."""
        info, own = self._camera_info, localizer.place_map.camera
        if info is None:
            return None
        mounting = self._static_frames.between(self.value("base_frame"), info.header.frame_id)
        if mounting is None and own is not None:
            mounting = own.mounting
        try:
            return None if mounting is None else Camera.from_message(info, mounting)
        except CameraError as error:
            self.get_logger().warning(f"camera_info refused: {error}", throttle_duration_sec=60.0)
            return None

    def _observe(
        self, localizer: Localizer, message: Image | CompressedImage
    ) -> tuple[np.ndarray, Observation]:
        with self.statistics.timed("decode"):
            image = conversions.image_from_message(message)
        stamp = conversions.stamp_to_nanoseconds(message.header.stamp)
        camera = self._camera(localizer) if self._verifies else None
        return image, localizer.observe(image, stamp, camera=camera, timed=self.statistics.timed)

    def _skip(self, reason: str) -> None:
        self.statistics.skip(reason)
        self.problem = f"the last image was skipped: {reason}"
        self.get_logger().warning(f"image skipped: {reason}", throttle_duration_sec=5.0)

    def _note_stamp(self, stamp: int) -> None:
        if stamp == 0:
            self.statistics.count("images without a stamp")
            return
        if stamp < self._last_stamp:
            self.statistics.count("clock jumped back")
        self._last_stamp = stamp
        self._note_age("age when taken in work", stamp)

    def _note_age(self, what: str, stamp: int) -> None:
        if stamp:
            self.statistics.record(what, (self.get_clock().now().nanoseconds - stamp) / 1e9)

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

    def value(self, name: str) -> Any:
        """Present value of a parameter."""
        return self.get_parameter(name).value

    def _options(self) -> LocalizerOptions:
        threshold = self.value("min_similarity")
        return LocalizerOptions(
            top_k=self.value("top_k"),
            min_similarity=None if threshold == MAPS_OWN_SIMILARITY else threshold,
            min_agreement=self.value("min_agreement"),
            agreement_radius=self.value("agreement_radius"),
            sequence=SequenceOptions(min_belief=self.value("min_belief")),
            verification=VerificationOptions(self.value("min_inliers")) if self._verifies else None,
        )

    def _check_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        refused = reason_to_refuse(changes)
        if refused:
            return SetParametersResult(successful=False, reason=refused)
        later = names_for_later(changes)
        if later and self.is_configured:
            self.get_logger().info(f"{', '.join(later)}: takes effect when configured the next time")
        return SetParametersResult(successful=True)


def sentence(error: Exception) -> str:
    """What happened, for a person: our own errors are sentences, others need their name."""
    return str(error) if isinstance(error, NetvladError) else f"{type(error).__name__}: {error}"


def _image_qos() -> QoSProfile:
    """Camera drivers publish best effort; one image is enough, since only the newest is worked on.

    A new profile each time: rclpy writes the user's overrides into the one it is given.
    """
    return QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)


def _odometry_qos() -> QoSProfile:
    """Reliable and best effort publishers both match; a second of fast odometry fits."""
    return QoSProfile(depth=200, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is told to stop."""
    keep_freed_memory()
    rclpy.init(args=arguments)
    try:
        executor = ThreadedExecutor(num_threads=4)
        node = LocalizeNode()
        executor.add_node(node)
        executor.spin()
        node.destroy_node()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        print(f"localize_node: {error}", file=sys.stderr)
        return 1
    except Exception:
        if rclpy.ok():  # otherwise it was told to stop while it started, and failed for that
            raise
    finally:
        rclpy.try_shutdown()
    return 0
