"""The parameters of the loop closure node, declared once, typed, ranged and described."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from netvlad_core.errors import NetvladError
from netvlad_core.localization.loops.loop_options import VERIFICATION, LoopClosureOptions
from netvlad_core.settings import settings_of, with_settings
from netvlad_ros.parameters import INPUT_PARAMETERS, NodeParameter

# Streets of look-alike houses close by appearance alone, so the node verifies unless it is told not to.
_DEFAULTS = replace(LoopClosureOptions(), verification=VERIFICATION)
_PREFIX = "closures"
SETTINGS = settings_of(_DEFAULTS, _PREFIX)
PARAMETERS = (
    NodeParameter(
        "map", "", "Map of an earlier drive. Its places are searched as well, and save_map extends it."
    ),
    NodeParameter(
        "weights",
        "",
        "Checkpoint or ONNX file, or packaged. If empty, it is the network of the map or of the package.",
    ),
    *INPUT_PARAMETERS,
    NodeParameter(
        "store_images",
        "none",
        "Images kept in memory and in the maps that save_map writes; full needs verification.",
        choices=("none", "full"),
    ),
    NodeParameter("publish_swarm_slam", False, "Publish descriptors and local matches for Swarm-SLAM."),
    NodeParameter("robot_id", 0, "Number of this robot in Swarm-SLAM.", 0, 2**31 - 1),
    *(NodeParameter.of_setting(setting, is_live=False) for setting in SETTINGS.values()),
)


def closer_options(values: Mapping[str, Any]) -> LoopClosureOptions:
    """Options of the loop closer from the values of all parameters.

    Raises
    ------
    NetvladError
        If they contradict each other.
    """
    if values["store_images"] == "full" and not values["verification"]:
        raise NetvladError("store_images is full, but images are kept with verification only: turn it on")
    if values["publish_swarm_slam"] and values["map"]:
        raise NetvladError(
            "publish_swarm_slam numbers the keyframes of this drive alone; leave the parameter map empty"
        )
    return with_settings(_DEFAULTS, {name: values[name] for name in SETTINGS}, _PREFIX)
