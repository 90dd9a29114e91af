"""The services of the localizer: open a map, save it, localize one image, forget where the robot was."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from std_srvs.srv import Trigger

from netvlad_core.errors import MapError, NetvladError
from netvlad_core.files import replace_directory
from netvlad_core.mapping.map_writer import check_output
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_ros import conversions
from netvlad_ros.srv import LoadMap, Localize, SaveMap

if TYPE_CHECKING:
    from netvlad_ros.localize_node import LocalizeNode

_NO_MAP = "no map is open; call load_map first"


class MapServices:
    """Serves `~/load_map`, `~/save_map`, `~/localize` and `~/relocalize`.

    Every call is answered, whatever happens: an exception in a service would end the node.
    """

    def __init__(self, node: LocalizeNode) -> None:
        self._node = node
        # A service waits for a map or for the network; in a group of its own it keeps nobody else waiting.
        group = MutuallyExclusiveCallbackGroup()
        node.create_service(LoadMap, "~/load_map", self._load_map, callback_group=group)
        node.create_service(SaveMap, "~/save_map", self._save_map, callback_group=group)
        node.create_service(Localize, "~/localize", self._localize, callback_group=group)
        node.create_service(Trigger, "~/relocalize", self._relocalize, callback_group=group)

    def _load_map(self, request: LoadMap.Request, response: LoadMap.Response) -> LoadMap.Response:
        try:
            self._node.open_map(request.path)
            response.success = True
        except Exception as error:
            response.message = self._failure(error)
        localizer = self._node.localizer
        if localizer is not None:
            header = self._node.answers.header(localizer.place_map, self._node.get_clock().now().to_msg())
            response.info = conversions.map_to_message(localizer.place_map, header)
        return response

    def _save_map(self, request: SaveMap.Request, response: SaveMap.Response) -> SaveMap.Response:
        try:
            localizer = self._node.localizer
            if localizer is None:
                raise NetvladError(_NO_MAP)
            place_map = localizer.place_map
            target = Path(request.path).expanduser() if request.path else place_map.path
            save_map(place_map, target)
            response.success, response.path = True, str(target.absolute())
        except Exception as error:
            response.message = self._failure(error)
        return response

    def _localize(self, request: Localize.Request, response: Localize.Response) -> Localize.Response:
        try:
            localizer = self._node.localizer
            if localizer is None:
                raise NetvladError(_NO_MAP)
            message = request.image if len(request.image.data) else request.compressed
            if not len(message.data):
                raise NetvladError("the request holds no image: image.data and compressed.data are empty")
            _, answer = self._node.answer_alone(localizer, message)
            header = self._node.answers.header(localizer.place_map, message.header.stamp)
            response.matches = conversions.matches_to_message(answer, localizer.place_map, header)
            if answer.prior is not None:
                response.has_pose = True
                response.pose = conversions.prior_to_message(answer.prior, header)
            response.success = True
        except Exception as error:
            response.message = self._failure(error)
        return response

    def _relocalize(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._node.relocalize()
        response.success = True
        response.message = "the next image starts anew"
        return response

    def _failure(self, error: Exception) -> str:
        text = str(error) if isinstance(error, NetvladError) else f"{type(error).__name__}: {error}"
        self._node.get_logger().warning(f"service call failed: {text}")
        return text


def save_map(place_map: PlaceMap, target: Path) -> None:
    """Write an open map to a folder, the copy appearing whole or not at all.

    Raises
    ------
    MapError
        If the target is something else than a map, or the map on disk is not the one that was opened.
    OSError
        If it cannot be written.
    """
    target = target.absolute()
    check_output(target)
    new = target.with_name(f".{target.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    try:
        shutil.copytree(place_map.path, new)
        if PlaceMap.open(new, verify=True).header != place_map.header:
            raise MapError(f"the map in {place_map.path} is no longer the one that is open; load it again")
        if not (target.exists() and target.samefile(place_map.path)):
            replace_directory(new, target)
    finally:
        shutil.rmtree(new, ignore_errors=True)
