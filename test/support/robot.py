"""The other side of the localizer: a camera that publishes to it, and a client that hears and calls it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from itertools import count
from threading import Thread
from time import monotonic, sleep, time_ns
from typing import Any

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from nav_msgs.msg import Odometry
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from netvlad_ros.conversions import image_to_message, stamp_from_nanoseconds, stamp_to_nanoseconds
from netvlad_ros.executor import ThreadedExecutor
from netvlad_ros.localize_node import LocalizeNode
from netvlad_ros.msg import GlobalDescriptor, MapInfo, PlaceMatches
from netvlad_ros.parameters import PARAMETERS

_CAMERA_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
_LATCHED_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_OUTPUTS = {
    "matches": PlaceMatches,
    "pose": PoseWithCovarianceStamped,
    "descriptor": GlobalDescriptor,
    "markers": MarkerArray,
    "match_image": Image,
}
_numbers = count()


class Partner:
    """Camera and client of a localizer that runs in `namespace`, in whatever process.

    Attributes
    ----------
    heard : messages of ~/matches, ~/pose, ... by name, in order of arrival.
    arrivals : wall-clock time in nanoseconds at which ~/matches for a stamp arrived.
    """

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.heard: dict[str, list[Any]] = defaultdict(list)
        self.arrivals: dict[int, int] = {}
        self._client = Node("partner", namespace=namespace)
        self.cameras = {
            Image: self._client.create_publisher(Image, "image", _CAMERA_QOS),
            CompressedImage: self._client.create_publisher(CompressedImage, "image/compressed", _CAMERA_QOS),
        }
        self.odometry = self._client.create_publisher(Odometry, "odom", 100)
        for name, kind in _OUTPUTS.items():
            self._client.create_subscription(kind, f"localizer/{name}", self._listener(name), _CAMERA_QOS)
        self._client.create_subscription(
            MapInfo, "localizer/map_info", self._listener("map_info"), _LATCHED_QOS
        )
        self._client.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._client)
        self._thread = Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join(timeout=5)
        self._client.destroy_node()

    # --- Camera ---------------------------------------------------------------------------------------------

    def publish(self, message: Image | CompressedImage) -> None:
        self.cameras[type(message)].publish(message)

    def ask(self, message: Image | CompressedImage, timeout: float = 20.0) -> PlaceMatches:
        """Publish an image, again and again while discovery is under way, and return its matches."""
        stamp = stamp_to_nanoseconds(message.header.stamp)
        deadline = monotonic() + timeout
        while monotonic() < deadline:
            self.publish(message)
            for _ in range(100):
                answers = [m for m in self.heard["matches"] if stamp_to_nanoseconds(m.header.stamp) == stamp]
                if answers:
                    return answers[-1]
                sleep(0.02)
        raise TimeoutError(f"no matches for the image of {stamp} within {timeout} s")

    def wait_until_it_answers(self, kind: str = "raw", timeout: float = 60.0) -> None:
        noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3)).astype(np.uint8)
        self.ask((raw if kind == "raw" else jpeg)(noise, time_ns()), timeout)

    def listen(self, topic: str, kind: Any, qos: QoSProfile | int) -> list[Any]:
        """Hear another topic; returns the list that its messages come into."""
        self._client.create_subscription(kind, topic, self._listener(topic), qos)
        return self.heard[topic]

    def talk(self, topic: str, kind: Any, qos: QoSProfile | int) -> Callable[[Any], None]:
        """Wait until somebody hears a topic; returns what publishes on it."""
        publisher = self._client.create_publisher(kind, topic, qos)
        wait_until(publisher.get_subscription_count, 20, f"a subscriber of {topic}")
        return publisher.publish

    # --- Client ---------------------------------------------------------------------------------------------

    def call(self, kind: Any, name: str, timeout: float = 30.0, **fields: Any) -> Any:
        client: Any = self._client.create_client(kind, f"localizer/{name}")
        try:
            assert client.wait_for_service(timeout), f"there is no service {name}"
            future = client.call_async(kind.Request(**fields))
            wait_until(future.done, timeout, f"an answer of {name}")
            return future.result()
        finally:
            self._client.destroy_client(client)

    def transition(self, label: str) -> bool:
        return self.call(ChangeState, "change_state", transition=Transition(label=label)).success

    def state(self) -> str:
        return self.call(GetState, "get_state").current_state.label

    def set_parameter(self, name: str, value: Any) -> str | None:
        """Set a parameter; returns the reason where it is refused."""
        parameter = Parameter(name, value=value).to_parameter_msg()
        result = self.call(SetParameters, "set_parameters", parameters=[parameter]).results[0]
        return None if result.successful else result.reason

    def diagnostics(self, condition: Callable[[str, dict[str, str]], bool], timeout: float = 10.0) -> Any:
        """Wait for a status whose message and values fulfil the condition; returns it."""
        start = monotonic()
        while monotonic() < start + timeout:
            for status in self.heard["diagnostics"][-1:]:
                if condition(status.message, values_of(status)):
                    return status
            sleep(0.05)
        last = self.heard["diagnostics"][-1:]
        raise TimeoutError(f"no such diagnostics within {timeout} s; the last: {last}")

    def publishers(self) -> dict[str, int]:
        """Publishers by topic below the namespace, the partner's own left out."""
        own = {publisher.topic_name for publisher in (*self.cameras.values(), self.odometry)}
        topics = [name for name, _ in self._client.get_topic_names_and_types() if self.namespace in name]
        return {name: self._client.count_publishers(name) for name in topics if name not in own}

    def _listener(self, name: str) -> Callable[[Any], None]:
        def listen(message: Any) -> None:
            if name == "matches":
                self.arrivals[stamp_to_nanoseconds(message.header.stamp)] = time_ns()
            self.heard[name].append(message)

        return listen

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.heard["diagnostics"] += [s for s in message.status if s.name.startswith(self.namespace + "/")]


class Robot(Partner):
    """A localizer in this process, spun by an executor of its own, with its partner.

    Its services may open and write maps anywhere, unless `maps_folder` says otherwise.

    Attributes
    ----------
    may_fail : whether a callback of the node may raise, which fails the test otherwise.
    """

    may_fail = False

    def __init__(self, namespace: str = "", **parameters: Any) -> None:
        namespace = namespace or f"/robot_{next(_numbers)}"
        texts = {name: str(parameters[name]) for name in ("map", "weights") if name in parameters}
        values = {"maps_folder": "/"} | parameters | texts
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        self.node = LocalizeNode(namespace=namespace, parameter_overrides=overrides)
        self._node_executor = ThreadedExecutor(num_threads=4)
        self._node_executor.add_node(self.node)
        self.failure: BaseException | None = None
        self._node_thread = Thread(target=self._spin, daemon=True)
        self._node_thread.start()
        super().__init__(namespace)

    def close(self) -> None:
        self._node_executor.shutdown()
        self._node_thread.join(timeout=10)
        self.node.destroy_node()
        super().close()
        assert self.failure is None, "a callback of the node raised, which ends a real node"
        told = [key for key in self.node.statistics.values() if key.startswith("callbacks left out:")]
        assert self.may_fail or not told, "a callback of the node raised"

    def _spin(self) -> None:
        try:
            self._node_executor.spin()
        except Exception as error:
            self.failure = error
            raise

    def reset_parameters(self) -> None:
        """Give all live parameters their defaults."""
        for parameter in PARAMETERS:
            if parameter.is_live:
                assert self.set_parameter(parameter.name, parameter.default) is None


def raw(image: np.ndarray, stamp: int) -> Image:
    """An rgb8 message, stamp in nanoseconds."""
    return image_to_message(image, Header(stamp=stamp_from_nanoseconds(stamp), frame_id="camera"))


def jpeg(image: np.ndarray, stamp: int) -> CompressedImage:
    """A JPEG message, stamp in nanoseconds."""
    data = cv2.imencode(".jpg", image[..., ::-1])[1].tobytes()
    header = Header(stamp=stamp_from_nanoseconds(stamp), frame_id="camera")
    message = CompressedImage(header=header, format="jpeg")
    message.data = data
    return message


def values_of(status: Any) -> dict[str, str]:
    return {entry.key: entry.value for entry in status.values}


def wait_until(condition: Callable[[], Any], timeout: float, what: str) -> None:
    deadline = monotonic() + timeout
    while not condition():
        if monotonic() > deadline:
            raise TimeoutError(f"waited {timeout} s for {what}")
        sleep(0.01)
