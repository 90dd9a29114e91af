"""The services of the localizer: open a map, save it, localize one image, forget where the robot was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from std_srvs.srv import Empty, Trigger

from netvlad_core.errors import NetvladError
from netvlad_core.files import sendable
from netvlad_core.localization.extending import Extended
from netvlad_core.localization.localizer import Localizer
from netvlad_core.mapping.map_writer import copy_map
from netvlad_ros import conversions
from netvlad_ros.answers import Answers
from netvlad_ros.camera_node import CameraNode
from netvlad_ros.open_map import OpenMap
from netvlad_ros.services import Services, folder_of, folder_to_write, maps_folder, remember
from netvlad_ros.srv import LoadMap, Localize, SaveMap


class MapServices:
    """Serves `~/load_map`, `~/save_map`, `~/localize`, and `~/relocalize`, also as Nav2 calls it.

    Parameters
    ----------
    node : offers the services, and has the parameters.
    open_map : has the map.
    answers : knows the frame of the poses.
    load : opens the map in a folder.
    forget : makes the next image start anew.
    extend : writes a map that also holds what is new in the drive.
    """

    def __init__(
        self,
        node: CameraNode,
        open_map: OpenMap,
        answers: Answers,
        load: Callable[[str], None],
        forget: Callable[[], None],
        extend: Callable[[Path], Extended],
    ) -> None:
        self._node, self._open_map, self._answers = node, open_map, answers
        self._load, self._forget, self._extend = load, forget, extend
        services = Services(node)
        services.serve(LoadMap, "~/load_map", self._load_map)
        services.serve(SaveMap, "~/save_map", self._save_map)
        services.serve(Localize, "~/localize", self._localize)
        services.serve(Trigger, "~/relocalize", self._relocalize)
        services.serve(Empty, "~/reinitialize_global_localization", lambda request, response: self._forget())

    def _load_map(self, request: LoadMap.Request, response: LoadMap.Response) -> None:
        try:
            path = str(folder_of(request.path, maps_folder(self._node.value)))
            self._load(path)
            remember(self._node, "map", path)
        finally:
            localizer = self._open_map.localizer
            if localizer is not None:
                now = self._node.get_clock().now().to_msg()
                header = self._answers.header(localizer.place_map, now)
                response.info = conversions.map_to_message(localizer.place_map, header)

    def _save_map(self, request: SaveMap.Request, response: SaveMap.Response) -> None:
        place_map = self._localizer().place_map
        if request.extend:
            target = folder_to_write(request.path, maps_folder(self._node.value))
            done = self._extend(target)
            response.message = f"{done.added} of {done.driven} keyframes are new"
            response.path = sendable(str(target))
            return
        target = folder_to_write(request.path or str(place_map.path), maps_folder(self._node.value))
        copy_map(place_map, target)
        response.path = sendable(str(target))

    def _localize(self, request: Localize.Request, response: Localize.Response) -> None:
        localizer = self._localizer()
        message = request.image if len(request.image.data) else request.compressed
        if not len(message.data):
            raise NetvladError("the request holds no image: image.data and compressed.data are empty")
        image = conversions.image_from_message(message)
        stamp = conversions.stamp_to_nanoseconds(message.header.stamp)
        answer = localizer.locate(localizer.observe(image, stamp))
        header = self._answers.header(localizer.place_map, message.header.stamp)
        response.matches = conversions.matches_to_message(answer, localizer.place_map, header)
        if answer.prior is not None:
            response.has_pose = True
            response.pose = conversions.prior_to_message(answer.prior, header)

    def _relocalize(self, request: Trigger.Request, response: Trigger.Response) -> None:
        self._forget()
        response.message = "the next image starts anew"

    def _localizer(self) -> Localizer:
        if self._open_map.localizer is None:
            raise NetvladError("no map is open; call load_map first")
        return self._open_map.localizer
