"""Loop closures while driving, as a ROS 2 node: images and odometry in; LoopClosure messages and the
descriptor of each keyframe out."""

from __future__ import annotations

import shutil
import sys
from dataclasses import asdict, replace
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
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from netvlad_core.data.camera import Camera, CameraError
from netvlad_core.data.geometry import Pose
from netvlad_core.errors import ImageError, NetvladError
from netvlad_core.localization.loops.growing_map import Keyframes
from netvlad_core.localization.loops.loop_closure import LoopCloser
from netvlad_core.localization.observation import Observer
from netvlad_core.mapping.map_writer import MapFacts, check_output, write_images, write_places, writing_map
from netvlad_core.mapping.place_map import CAMERA_FILE, NETWORK_FILE, PlaceMap
from netvlad_core.memory import keep_freed_memory
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.packaged import PACKAGED_NETWORK
from netvlad_ros.conversions import (
    closure_to_message,
    descriptor_to_message,
    image_from_message,
    stamp_to_nanoseconds,
)
from netvlad_ros.diagnostics import Statistics
from netvlad_ros.executor import ThreadedExecutor
from netvlad_ros.loop_closure_parameters import PARAMETERS, closer_options
from netvlad_ros.msg import GlobalDescriptor, LoopClosure
from netvlad_ros.newest import NewestWorker
from netvlad_ros.odometry import OdometryInput
from netvlad_ros.outputs.swarm_slam import SwarmSlam
from netvlad_ros.parameters import ParameterTable
from netvlad_ros.srv import SaveMap
from netvlad_ros.static_frames import StaticFrames

_IMAGE_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
_ODOMETRY_QOS = QoSProfile(depth=200, reliability=ReliabilityPolicy.BEST_EFFORT)
_CLOSURES_QOS = QoSProfile(depth=100)  # reliable: a back end wants every one
_IMAGE_TOPICS = {"raw": ("image", Image), "compressed": ("image/compressed", CompressedImage)}


class LoopClosureNode(Node):
    """Finds places of the present drive that come back.

    Raises
    ------
    NetvladError
        If the parameters are wrong or there is no network.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("loop_closer", **kwargs)
        self._worker: NewestWorker[Image | CompressedImage] | None = None  # until all that may fail is done
        self._table = ParameterTable(self, PARAMETERS, lambda: True)
        earlier = self._open_map()
        self._extractor = self._open_extractor(earlier)
        self._extractor(np.zeros((480, 640, 3), np.uint8))  # the first run of a network is slow
        self._extrinsics = self._read_extrinsics()
        self._static_frames = StaticFrames(self)
        self._closer = LoopCloser(closer_options(self), earlier)
        verification = self._closer.options.verification
        self._observer = Observer(self._extractor, verification.features if verification else 0)
        self._camera: Camera | None = None
        self._closer_lock = Lock()  # a map is saved while images come in
        self._odometry = OdometryInput(Statistics(), self._static_frames)
        self._odometry.begin(self.get_parameter("base_frame").value)
        self._closures = self.create_publisher(LoopClosure, "~/loop_closures", _CLOSURES_QOS)
        self._keyframe_descriptors = self.create_publisher(GlobalDescriptor, "~/descriptor", _CLOSURES_QOS)
        self.create_service(
            SaveMap, "~/save_map", self._save_map, callback_group=MutuallyExclusiveCallbackGroup()
        )
        self._swarm = self._open_swarm(earlier)
        self._worker = NewestWorker(self._work)
        transport = self.get_parameter("image_transport").value
        if transport not in _IMAGE_TOPICS:
            raise NetvladError(f"image_transport is {transport!r}; expected raw or compressed")
        topic, kind = _IMAGE_TOPICS[transport]
        groups = [MutuallyExclusiveCallbackGroup() for _ in range(3)]
        self.create_subscription(kind, topic, self._on_image, _IMAGE_QOS, callback_group=groups[0])
        self.create_subscription(Odometry, "odom", self._on_odometry, _ODOMETRY_QOS, callback_group=groups[1])
        self.create_subscription(
            CameraInfo, "camera_info", self._on_camera_info, _IMAGE_QOS, callback_group=groups[2]
        )

    def _open_map(self) -> PlaceMap | None:
        path = self.get_parameter("map").value
        return PlaceMap.open(Path(path).expanduser(), verify=True) if path else None

    def _open_extractor(self, earlier: PlaceMap | None) -> Extractor:
        self._weights = PACKAGED_NETWORK if earlier is None else earlier.network_path
        if named := self.get_parameter("weights").value:
            self._weights = Path(named).expanduser()
        extractor = Extractor.load(self._weights, self.get_parameter("device").value)
        if earlier is not None:
            earlier.check_model(extractor.model_id)
        return extractor

    def _read_extrinsics(self) -> Pose | None:
        text = self.get_parameter("extrinsics").value
        if not text:
            return None
        try:
            values = [float(word) for word in text.split()]
            return Pose.from_values(values[:3], values[3:])
        except ValueError as error:
            raise NetvladError(f"extrinsics is {text!r}; expected 'x y z qx qy qz qw'") from error

    def _open_swarm(self, earlier: PlaceMap | None) -> SwarmSlam | None:
        if not self.get_parameter("publish_swarm_slam").value:
            return None
        if earlier is not None:
            raise NetvladError(
                "publish_swarm_slam numbers the keyframes of this drive alone; leave the parameter map empty"
            )
        return SwarmSlam(self, self.get_parameter("robot_id").value)

    def destroy_node(self) -> None:
        """End the worker before the node goes."""
        if self._worker is not None:
            self._worker.stop()
        super().destroy_node()

    def _on_image(self, message: Image | CompressedImage) -> None:
        if self._worker is not None:
            self._worker.put(message)

    def _on_odometry(self, message: Odometry) -> None:
        self._odometry.hear(message, self.get_clock().now().nanoseconds)

    def _mounting(self, camera_frame: str) -> Pose | None:
        """Base frame <- optical frame: as the parameter says, /tf_static, or the earlier map."""
        if self._extrinsics is not None:
            return self._extrinsics
        mounting = self._static_frames.between(self._odometry.base_frame, camera_frame)
        earlier = self._closer.earlier
        if mounting is None and earlier is not None and earlier.camera is not None:
            return earlier.camera.mounting
        return mounting

    def _on_camera_info(self, message: CameraInfo) -> None:
        mounting = self._mounting(message.header.frame_id)
        if mounting is None:
            return
        try:
            self._camera = Camera.from_message(message, mounting)
        except CameraError as error:
            self._warn(f"going on without the calibration: {error}")

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
        image = image_from_message(message)
        observation = self._observer(image, stamp, odometry, self._camera)
        with self._closer_lock:
            closure = self._closer.add(observation, image)
        described = descriptor_to_message(observation.descriptor, self._extractor.model_id, message.header)
        self._keyframe_descriptors.publish(described)
        if closure is not None:
            self._closures.publish(closure_to_message(closure, self._odometry.base_frame))
        if self._swarm is not None:
            self._swarm.send(self._closer.next_id - 1, observation.descriptor, closure)

    def _save_map(self, request: SaveMap.Request, response: SaveMap.Response) -> SaveMap.Response:
        """Write the keyframes so far as a map, with an earlier map the two together."""
        try:
            if not request.path:
                raise NetvladError("the request names no path to save the map to")
            with self._closer_lock:
                keyframes = self._closer.keyframes()
            target = Path(request.path).expanduser().absolute()
            self._write(keyframes, target)
            response.success, response.path = True, str(target)
        except Exception as error:  # it would end the node
            known = isinstance(error, NetvladError)
            response.message = str(error) if known else f"{type(error).__name__}: {error}"
            self._warn(f"the map was not saved: {response.message}")
        return response

    def _write(self, keyframes: Keyframes, output: Path) -> None:
        check_output(output)
        earlier = self._closer.earlier
        weights = self._weights
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
        has_images = keyframes.images is not None and self.get_parameter("store_images").value == "full"
        if has_images:
            facts = replace(facts, store_images="full")
        with writing_map(output, facts) as new:
            names = [str(stamp) for stamp in stamps]
            write_places(new, stamps, keyframes.poses, names, keyframes.descriptors)
            if has_images and keyframes.images is not None:
                write_images(new, keyframes.images)
            if keyframes.camera is not None:
                (new / CAMERA_FILE).write_text(keyframes.camera.to_json())
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
