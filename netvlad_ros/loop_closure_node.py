"""Loop closures while driving, as a lifecycle node: images and odometry in, closures and descriptors out."""

from __future__ import annotations

from typing import Any

import numpy as np
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from netvlad_core.data.camera import Camera
from netvlad_core.data.geometry import Pose
from netvlad_core.errors import NetvladError
from netvlad_core.files import sendable, user_path
from netvlad_core.localization.loops.live_drive import LiveDrive
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.model.backbones import network_file
from netvlad_core.model.extractor import Extractor
from netvlad_ros.camera_node import CameraNode, run_node
from netvlad_ros.conversions import closure_to_message, descriptor_to_message, map_to_message
from netvlad_ros.loop_closure_parameters import PARAMETERS, closer_options
from netvlad_ros.moment import Moment
from netvlad_ros.msg import GlobalDescriptor, LoopClosure, MapInfo
from netvlad_ros.outputs.swarm_slam import SwarmSlam
from netvlad_ros.services import Services, folder_of, folder_to_write, maps_folder, remember
from netvlad_ros.srv import LoadMap, SaveMap

_EVERY_ONE = QoSProfile(depth=100)  # reliable: a back end wants every closure
_LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class LoopClosureNode(CameraNode):
    """Finds places of the present drive, and of an earlier map, that come back.

    Configuring opens the network, and the earlier map if one is named; activating subscribes to images and
    odometry.
    """

    def __init__(self, **kwargs: Any) -> None:
        self._drive: LiveDrive | None = None
        self._swarm: SwarmSlam | None = None
        self._odometry_frame = ""
        super().__init__("loop_closer", PARAMETERS, **kwargs)
        self._closures = self.create_lifecycle_publisher(LoopClosure, "~/loop_closures", _EVERY_ONE)
        self._described = self.create_lifecycle_publisher(GlobalDescriptor, "~/descriptor", _EVERY_ONE)
        self._map_info = self.create_publisher(MapInfo, "~/map_info", _LATCHED)
        services = Services(self)
        services.serve(LoadMap, "~/load_map", self._load_map)
        services.serve(SaveMap, "~/save_map", self._save_map)
        services.serve(Trigger, "~/reset", self._reset)
        self.start()

    # --- Lifecycle ------------------------------------------------------------------------------------------

    def configure(self) -> None:
        """Begin a drive with the network and the earlier map that the parameters name."""
        self._open(self.value("map"))

    def activate(self) -> None:
        """Open the output for Swarm-SLAM if it is asked for."""
        if self.value("publish_swarm_slam"):
            self._swarm = SwarmSlam(self, self.value("robot_id"))

    def deactivate(self) -> None:
        """Close that output; the drive goes on with the next activation."""
        if self._swarm is not None:
            self._swarm.close()
            self._swarm = None

    def cleanup(self) -> None:
        """End the drive."""
        self._drive = None

    def _open(self, path: str) -> None:
        values = {parameter.name: self.value(parameter.name) for parameter in PARAMETERS} | {"map": path}
        drive = LiveDrive.open(
            closer_options(values),
            user_path(path).absolute() if path else None,
            network_file(values["weights"]) if values["weights"] else None,
            values["device"],
            values["precision"],
            values["store_images"] == "full",
        )
        drive.observer(np.zeros((480, 640, 3), np.uint8))  # the first run of a network is slow
        earlier = drive.earlier
        self._map_info.publish(self._info(earlier))  # what cannot be told does not replace another
        self._drive = drive
        self.get_logger().info(
            f"model {drive.observer.extractor.model_id} on {drive.observer.extractor.runs_on}; "
            + (f"earlier map {earlier.header.map_id}: {len(earlier)} places" if earlier else "no earlier map")
        )

    # --- Work -----------------------------------------------------------------------------------------------

    def wants(self, stamp: int, odometry: Pose | None) -> bool:
        """Whether an image would be a keyframe: the network costs more than all the rest."""
        return self._drive is None or odometry is None or self._drive.wants(odometry)

    def work(self, moment: Moment) -> None:
        """Take one keyframe."""
        drive = self._opened()  # the service may open another one meanwhile
        if moment.odometry is None:
            raise NetvladError("no odometry at the stamp of the image, without which nothing closes")
        self._odometry_frame = moment.odometry_frame
        keyframe = drive.add(
            moment.image, moment.stamp, moment.odometry, moment.camera, self.statistics.timed
        )
        self.statistics.count("keyframes")
        descriptor = keyframe.observation.descriptor
        model_id = drive.observer.extractor.model_id
        self._described.publish(descriptor_to_message(descriptor, model_id, moment.header))
        if keyframe.closure is not None:
            self.statistics.count("closures")
            self._closures.publish(closure_to_message(keyframe.closure, self.value("base_frame")))
        if self._swarm is not None:
            self._swarm.send(keyframe.number, descriptor, keyframe.closure)

    def forget(self) -> None:
        """Begin another drive."""
        if self._drive is not None:
            self._drive.reset()

    def map_camera(self) -> Camera | None:
        earlier = None if self._drive is None else self._drive.earlier
        return None if earlier is None else earlier.camera

    def extractor(self) -> Extractor | None:
        return None if self._drive is None else self._drive.observer.extractor

    def facts(self) -> dict[str, str]:
        if self._drive is None:
            return {}
        earlier = self._drive.earlier
        return {
            "earlier map": earlier.header.map_id if earlier else "",
            "keyframes in memory": str(len(self._drive.closer)),
        }

    # --- Services -------------------------------------------------------------------------------------------

    def _load_map(self, request: LoadMap.Request, response: LoadMap.Response) -> None:
        """Begin a drive with another earlier map; the present one ends."""
        try:
            self._opened()
            path = str(folder_of(request.path, maps_folder(self.value)))
            self._open(path)
            remember(self, "map", path)
        finally:
            response.info = self._info(None if self._drive is None else self._drive.earlier)

    def _save_map(self, request: SaveMap.Request, response: SaveMap.Response) -> None:
        target = folder_to_write(request.path, maps_folder(self.value))
        if request.extend and self._opened().earlier is None:
            raise NetvladError("there is no earlier map to extend; name it with the parameter map")
        has_images = self.value("store_images") == "full"
        self._opened().save(target, self._odometry_frame, has_images)
        response.path = sendable(str(target))

    def _reset(self, request: Trigger.Request, response: Trigger.Response) -> None:
        self._opened().reset()
        response.message = "the next image begins another drive"

    def _opened(self) -> LiveDrive:
        if self._drive is None:
            raise NetvladError("the node is not configured, so there is no drive; configure it first")
        return self._drive

    def _info(self, earlier: PlaceMap | None) -> MapInfo:
        frame = earlier.header.frame_id if earlier else ""
        return map_to_message(earlier, Header(stamp=self.get_clock().now().to_msg(), frame_id=frame))


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is told to stop."""
    return run_node(LoopClosureNode, arguments)
