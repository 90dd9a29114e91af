"""Visual place recognition with NetVLAD: model, maps, localization, evaluation; imports no ROS.

The names below are the public face; docs/api.md has an example of each.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netvlad_core.data.camera import Camera
    from netvlad_core.data.geometry import Pose
    from netvlad_core.data.sources import SourceOptions, open_source
    from netvlad_core.errors import NetvladError
    from netvlad_core.localization.answer import Localization
    from netvlad_core.localization.localizer import Localizer
    from netvlad_core.localization.localizer_options import LocalizerOptions
    from netvlad_core.localization.loops.loop_closure import LoopCloser
    from netvlad_core.localization.observation import Observation
    from netvlad_core.mapping.builder import BuildOptions, build_map
    from netvlad_core.mapping.place_map import PlaceMap
    from netvlad_core.model.extractor import Extractor

__all__ = [
    "BuildOptions",
    "Camera",
    "Extractor",
    "Localization",
    "Localizer",
    "LocalizerOptions",
    "LoopCloser",
    "NetvladError",
    "Observation",
    "PlaceMap",
    "Pose",
    "SourceOptions",
    "build_map",
    "open_source",
]
__version__ = "1.0.0"

_HOMES = {
    "BuildOptions": "mapping.builder",
    "Camera": "data.camera",
    "Extractor": "model.extractor",
    "Localization": "localization.answer",
    "Localizer": "localization.localizer",
    "LocalizerOptions": "localization.localizer_options",
    "LoopCloser": "localization.loops.loop_closure",
    "NetvladError": "errors",
    "Observation": "localization.observation",
    "PlaceMap": "mapping.place_map",
    "Pose": "data.geometry",
    "SourceOptions": "data.sources",
    "build_map": "mapping.builder",
    "open_source": "data.sources",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use: torch takes seconds, and a help text should not."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
