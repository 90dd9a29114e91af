"""Loop closures while driving, as a ROS 2 node: images and odometry in; LoopClosure messages and the
descriptor of each keyframe out."""

from __future__ import annotations

import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import rclpy
from nav_msgs.msg import Odometry
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from netvlad_core.errors import ImageError, NetvladError, PoseError
from netvlad_core.localization.loop_closure import Keyframes, LoopCloser, LoopClosureOptions
from netvlad_core.mapping.keyframes import KeyframeRule
from netvlad_core.mapping.map_writer import MapFacts, check_output, write_places, writing_map
from netvlad_core.mapping.place_map import NETWORK_FILE, PlaceMap
from netvlad_core.memory import keep_freed_memory
from netvlad_core.model.extractor import Extractor
from netvlad_ros.conversions import (
    closure_to_message,
    descriptor_to_message,
    image_from_message,
    stamp_to_nanoseconds,
)
from netvlad_ros.executor import ThreadedExecutor
from netvlad_ros.msg import GlobalDescriptor, LoopClosure
from netvlad_ros.newest import NewestWorker
from netvlad_ros.odometry import OdometryBuffer
from netvlad_ros.parameters import NodeParameter, declare_parameters
from netvlad_ros.srv import SaveMap

_IMAGE_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
_ODOMETRY_QOS = QoSProfile(depth=200, reliability=ReliabilityPolicy.BEST_EFFORT)
_CLOSURES_QOS = QoSProfile(depth=100)  # reliable: a back end wants every one
_IMAGE_TOPICS = {"raw": ("image", Image), "compressed": ("image/compressed", CompressedImage)}
_DEFAULTS = LoopClosureOptions()

PARAMETERS = (
    NodeParameter("weights", "", "Checkpoint or ONNX file of the network; empty takes that of the map."),
    NodeParameter("map", "", "Map of an earlier drive: its places are looked for too, save_map extends it."),
    NodeParameter("device", "auto", "Where the network runs: auto, cpu, cuda, cuda:1, ..."),
    NodeParameter("image_transport", "raw", "Which image topic is read.", choices=("raw", "compressed")),
    NodeParameter("keyframe_distance", 1.0, "Metres from one keyframe to the next.", 0.01, 1000.0),
    NodeParameter(
        "most_keyframes",
        _DEFAULTS.most_keyframes,
        "Bound of memory: when there are so many, every second one goes and their distance doubles.",
        10,
        10_000_000,
    ),
    NodeParameter("min_time", _DEFAULTS.min_time, "Seconds between a place and its return.", 0.0, 1e6),
    NodeParameter("min_way", _DEFAULTS.min_way, "Metres of driving between them.", 0.0, 1e6),
    NodeParameter(
        "min_score",
        _DEFAULTS.min_score,
        "Likeness of the last metres to the place: 0 a usual pair of images, 1 neighbours of the drive.",
        0.0,
        10.0,
    ),
    NodeParameter(
        "min_margin", _DEFAULTS.min_margin, "Likeness by which every other place must be beaten.", 0.0, 10.0
    ),
)


class LoopClosureNode(Node):
    """Finds places of the present drive that come back.

    Raises
    ------
    NetvladError
        If the parameters are wrong or there is no network.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("loop_closer", **kwargs)
        declare_parameters(self, PARAMETERS)
        earlier = self._open_map()
        self._extractor = self._open_extractor(earlier)
        self._extractor(np.zeros((480, 640, 3), np.uint8))  # the first run of a network is slow
        self._closer = LoopCloser(self._options(), earlier)
        self._closer_lock = Lock()  # a map is saved while images come in
        self._odometry = OdometryBuffer()
        self._closures = self.create_publisher(LoopClosure, "~/loop_closures", _CLOSURES_QOS)
        self._keyframe_descriptors = self.create_publisher(GlobalDescriptor, "~/descriptor", _CLOSURES_QOS)
        self.create_service(
            SaveMap, "~/save_map", self._save_map, callback_group=MutuallyExclusiveCallbackGroup()
        )
        self._worker: NewestWorker[Image | CompressedImage] = NewestWorker(self._work)
        transport = self.get_parameter("image_transport").value
        if transport not in _IMAGE_TOPICS:
            raise NetvladError(f"image_transport is {transport!r}; expected raw or compressed")
        topic, kind = _IMAGE_TOPICS[transport]
        groups = [MutuallyExclusiveCallbackGroup() for _ in range(2)]
        self.create_subscription(kind, topic, self._on_image, _IMAGE_QOS, callback_group=groups[0])
        self.create_subscription(Odometry, "odom", self._on_odometry, _ODOMETRY_QOS, callback_group=groups[1])

    def _open_map(self) -> PlaceMap | None:
        path = self.get_parameter("map").value
        return PlaceMap.open(Path(path).expanduser(), verify=True) if path else None

    def _open_extractor(self, earlier: PlaceMap | None) -> Extractor:
        self._weights = self.get_parameter("weights").value
        if not self._weights and earlier is not None:
            self._weights = str(earlier.network_path)
        if not self._weights:
            raise NetvladError(
                "the parameter 'weights' is empty: name a checkpoint, e.g. one made by `netvlad fit`, or a "
                "map"
            )
        weights = Path(self._weights).expanduser()
        extractor = Extractor.load(weights, self.get_parameter("device").value)
        if earlier is not None:
            earlier.check_model(extractor.model_id)
        return extractor

    def _options(self) -> LoopClosureOptions:
        value = {parameter.name: self.get_parameter(parameter.name).value for parameter in PARAMETERS}
        return LoopClosureOptions(
            keyframes=KeyframeRule(distance=value["keyframe_distance"]),
            most_keyframes=value["most_keyframes"],
            min_time=value["min_time"],
            min_way=value["min_way"],
            min_score=value["min_score"],
            min_margin=value["min_margin"],
        )

    def destroy_node(self) -> None:
        """End the worker before the node goes."""
        self._worker.stop()
        super().destroy_node()

    def _on_image(self, message: Image | CompressedImage) -> None:
        self._worker.put(message)

    def _on_odometry(self, message: Odometry) -> None:
        try:
            self._odometry.add(message)
        except PoseError as error:
            self._warn(f"odometry skipped: {error}")

    def _work(self, message: Image | CompressedImage) -> None:
        try:
            self._close(message)
        except ImageError as error:
            self._warn(f"image skipped: {error}")
        except Exception as error:  # one image must not end the thread, and all closures with it
            self._warn(f"image skipped: {type(error).__name__}: {error}")

    def _close(self, message: Image | CompressedImage) -> None:
        stamp = stamp_to_nanoseconds(message.header.stamp)
        odometry = self._odometry.at(stamp)
        if odometry is None:
            self._warn("image skipped: no odometry at its stamp")
            return
        if not self._closer.wants(odometry):  # the network costs more than all the rest
            return
        descriptor = self._extractor(image_from_message(message))[0]
        described = descriptor_to_message(descriptor, self._extractor.model_id, message.header)
        self._keyframe_descriptors.publish(described)
        with self._closer_lock:
            closure = self._closer.add(descriptor, stamp, odometry)
        if closure is not None:
            self._closures.publish(closure_to_message(closure, self._odometry.child_frame_id))

    def _save_map(self, request: SaveMap.Request, response: SaveMap.Response) -> SaveMap.Response:
        """Write the keyframes so far as a map, with an earlier map the two together."""
        try:
            if not request.path:
                raise NetvladError("the request names no path to save the map to")
            with self._closer_lock:
                keyframes = self._closer.keyframes()
            self._write(keyframes, Path(request.path).expanduser().absolute())
            response.success = True
        except Exception as error:  # it would end the node
            known = isinstance(error, NetvladError)
            response.message = str(error) if known else f"{type(error).__name__}: {error}"
            self._warn(f"the map was not saved: {response.message}")
        return response

    def _write(self, keyframes: Keyframes, output: Path) -> None:
        check_output(output)
        earlier = self._closer.earlier
        weights = Path(self._weights).expanduser()
        is_checkpoint = weights.suffix == ".safetensors"  # then the map can contain it
        before = f"the map {earlier.header.map_id} and " if earlier else ""
        facts = MapFacts(
            model_id=self._extractor.model_id,
            frame_id=earlier.header.frame_id if earlier else self._odometry.frame_id,
            source=f"{before}a drive that the loop closer saw",
            source_fingerprint="",
            preprocessing=asdict(self._extractor.spec.preprocessing),
            weights=None if is_checkpoint else str(weights.resolve()),
        )
        stamps = keyframes.stamps
        with writing_map(output, facts) as new:
            names = [str(stamp) for stamp in stamps]
            write_places(new, stamps, keyframes.poses, names, keyframes.descriptors)
            if is_checkpoint:
                shutil.copyfile(weights, new / NETWORK_FILE)

    def _warn(self, text: str) -> None:
        self.get_logger().warning(text, throttle_duration_sec=5.0)


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is told to stop."""
    keep_freed_memory()
    rclpy.init(args=arguments)
    try:
        executor = ThreadedExecutor(num_threads=3)
        node = LoopClosureNode()
        executor.add_node(node)
        executor.spin()
        node.destroy_node()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except NetvladError as error:
        print(f"loop_closure_node: {error}", file=sys.stderr)
        return 1
    finally:
        rclpy.try_shutdown()
    return 0
