"""The newest map of the robot's site, fetched from the store of its fleet and opened."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE, Popen, TimeoutExpired
from typing import Any

from std_srvs.srv import Trigger

from netvlad_core.errors import NetvladError
from netvlad_ros.camera_node import CameraNode
from netvlad_ros.open_map import OpenMap
from netvlad_ros.services import Services, folder_to_write, maps_folder, remember

_LOOKS = 0.2  # seconds between two looks at the other process


class FleetMap:
    """Serves `~/fetch_map`, in a group of its own: fetching may take minutes.

    Another process fetches the map, so that the node goes on answering and never loads the store's engine.

    Parameters
    ----------
    node : offers the service, and has the parameters.
    open_map : has the map.
    load : opens the map in a folder.
    """

    def __init__(self, node: CameraNode, open_map: OpenMap, load: Callable[[str], None]) -> None:
        self._node, self._open_map, self._load = node, open_map, load
        Services(node).serve(Trigger, "~/fetch_map", self._fetch_map)

    def _fetch_map(self, request: Trigger.Request, response: Trigger.Response) -> None:
        value = self._node.value
        store, site = value("fleet_store"), value("site")
        if not store or not site:
            raise NetvladError("start the node with the parameters fleet_store and site, which name the map")
        folder = folder_to_write(str(folder_of_site(value) or site), maps_folder(value))
        command = ["fleet", "pull", "--store", store, "--site", site, "--output", str(folder), "--json"]
        localizer = self._open_map.localizer
        if value("weights") and localizer is not None:
            command += ["--model", localizer.extractor.model_id]
        pulled = self._run(command)
        name = f"version {pulled['version']} of {site}, {pulled['map_id']}"
        if localizer is not None and localizer.place_map.header.map_id == pulled["map_id"]:
            response.message = f"{name}, is open already"
            return
        self._load(str(folder))
        remember(self._node, "map", str(folder))
        response.message = f"{name}, is open now"

    def _run(self, arguments: list[str]) -> dict[str, Any]:
        """What a command of `netvlad` prints as JSON; raises NetvladError with what it says if it fails."""
        command = [sys.executable, "-m", "netvlad_core", *arguments]
        with Popen(command, stdout=PIPE, stderr=PIPE, text=True, errors="replace") as process:
            while True:
                try:
                    output, error = process.communicate(timeout=_LOOKS)
                    break
                except TimeoutExpired:
                    if not self._node.context.ok():
                        process.terminate()
        if process.returncode:
            said = error.strip().splitlines() or [f"it ended with status {process.returncode}"]
            raise NetvladError(f"the map was not fetched: {said[-1].removeprefix('netvlad fleet: ')}")
        return json.loads(output)


def folder_of_site(value: Callable[[str], Any]) -> Path | None:
    """Folder of the map of the parameter site, below that of the maps; None if one of them is not known."""
    within = maps_folder(value)
    return within / value("site") if within is not None and value("site") else None
