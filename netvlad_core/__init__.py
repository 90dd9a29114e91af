"""Visual place recognition with NetVLAD: model, maps, localization, evaluation; imports no ROS."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netvlad_core.localization.localizer import Localizer
    from netvlad_core.mapping.place_map import PlaceMap
    from netvlad_core.model.extractor import Extractor

__all__ = ["Extractor", "Localizer", "PlaceMap"]
__version__ = "0.1.0"

_HOMES = {
    "Extractor": "netvlad_core.model.extractor",
    "Localizer": "netvlad_core.localization.localizer",
    "PlaceMap": "netvlad_core.mapping.place_map",
}


def __getattr__(name: str) -> Any:
    """Import the public classes at their first use: torch takes seconds, and a help text should not."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
