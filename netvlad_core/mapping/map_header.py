"""map.json: what it says of a map, and the one door at which all of it is judged."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from netvlad_core.errors import MapError
from netvlad_core.mapping.stored_file import StoredFile
from netvlad_core.model.spec import PRECISIONS

FORMAT = "netvlad_ros place map"
VERSION = 4
# Fields and files that came with a version. A map is written in the earliest one that has what it uses, 2 at
# least: older programs open it, and refuse later versions with a sentence.
_FIELDS_SINCE = {"sessions": 3, "history": 3, "origin": 4}

HEADER_FILE = "map.json"
DESCRIPTORS_FILE = "descriptors.npy"
DIRECTIONS_FILE = "directions.npy"
INDEX_FILE = "index.faiss"  # only of very large maps; what it says can be made anew
STAMPS_FILE = "stamps.npy"
POSES_FILE = "poses.npy"
NAMES_FILE = "names.json"
NETWORK_FILE = "model.safetensors"
ONNX_FILE = "model.float32.onnx"  # of the same network; `variant_path` finds it
# The network in other precisions: `netvlad export` puts them beside it, whether map.json names them or not.
ONNX_FILES = frozenset(f"model.{precision}.onnx" for precision in PRECISIONS)
IMAGES_FILE = "images.bin"
IMAGE_ENDS_FILE = "image_ends.npy"
CAMERA_FILE = "camera.json"
CAMERAS_FILE = "cameras.json"  # instead of it, in a map whose drives have several calibrations
FEATURES_FILE = "features.bin"  # local features of all places, packed
FEATURE_ENDS_FILE = "feature_ends.npy"
FEATURE_FACTS_FILE = "features.json"  # their kind, and the likelihood that the map has taught
SESSIONS_FILE = "sessions.npy"
FEATURE_FILES = frozenset({FEATURES_FILE, FEATURE_ENDS_FILE, FEATURE_FACTS_FILE})
_FILES_SINCE = {CAMERAS_FILE: 4, **dict.fromkeys(FEATURE_FILES, 4)}
_ALL_FILES = ONNX_FILES | FEATURE_FILES | {
    DESCRIPTORS_FILE, DIRECTIONS_FILE, INDEX_FILE, STAMPS_FILE, POSES_FILE, NAMES_FILE, NETWORK_FILE,
    IMAGES_FILE, IMAGE_ENDS_FILE, CAMERA_FILE, CAMERAS_FILE, SESSIONS_FILE,
}  # fmt: skip

# Bounds of what is believed before memory is taken; real maps stay far below them.
_MOST_BYTES = 1 << 20  # of map.json
_LONGEST_TEXT = 10_000
_MOST_PLACES = 1 << 24
_MOST_NUMBERS = 1 << 20  # of a descriptor
_MOST_IN_DIRECTIONS = 1 << 28
_MOST_METRES = 1e7  # between two places
_HIGHEST = 1e5  # metres above or below the ellipsoid
_MOST_SESSIONS, _MOST_STEPS = 10_000, 10_000
_LARGEST = 1e300


@dataclass(frozen=True, kw_only=True)
class MapHeader:
    """Content of map.json; ids, counts, figures and files are computed when the map is written.

    Attributes
    ----------
    map_id : name and short hash over the files: changes when anything in the map does.
    model_id : fingerprint of the network that made the descriptors.
    dimension : D of the network's descriptors.
    stored_dimension : P of the stored ones, (N, P); below D in a reduced map.
    places : N.
    frame_id : name of the frame of the poses.
    source, source_fingerprint : the drive.
    preprocessing : how images are prepared, for the reader; the network carries its own copy.
    weights : file in which the network was found, None if the map contains it.
    store_images : "none", "thumbnail" or "full".
    spacing : median distance between consecutive places in metres, 0 without poses.
    similarity_threshold : similarity that an image of a place not in the map seldom reaches.
    skipped : reason and count of frames left out.
    sessions : name, source and first map of each drive in the map; empty if it holds one drive, its source.
    history : operations that led to the map, oldest first, each with the ids of the maps it was made from.
    origin : latitude and longitude in degrees and metres above the WGS84 ellipsoid of the frame's origin, if
        its axes point east, north and up there; None if it is not known where on earth the map is.
    files : size in bytes and sha256 of each file.
    """

    map_id: str = ""
    model_id: str
    dimension: int = 0
    stored_dimension: int = 0
    places: int = 0
    frame_id: str
    source: str
    source_fingerprint: str = ""
    preprocessing: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None
    store_images: str = "none"
    spacing: float = 0.0
    similarity_threshold: float = 0.0
    skipped: dict[str, int] = field(default_factory=dict)
    sessions: list[dict[str, str]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    origin: list[float] | None = None
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    format: str = FORMAT
    version: int = VERSION

    @property
    def is_reduced(self) -> bool:
        return self.stored_dimension < self.dimension

    def write(self, path: Path) -> None:
        values = asdict(self)
        needed = [since for name, since in _FIELDS_SINCE.items() if values[name]]
        needed += [since for name, since in _FILES_SINCE.items() if name in self.files]
        version = values["version"] = max(needed, default=2)
        values = {name: value for name, value in values.items() if _FIELDS_SINCE.get(name, 1) <= version}
        path.write_text(json.dumps({**values, "sha256": _checksum(values)}, indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> MapHeader:
        """Read map.json, every field typed and ranged.

        Raises
        ------
        MapError
            If there is none, or it is damaged, of another format or says what cannot be.
        """
        values = _parsed(path)
        if values.get("format") != FORMAT:
            raise MapError(f"{path} does not describe a {FORMAT}")
        version = values.get("version")
        if type(version) is not int or not 1 <= version <= VERSION:
            raise MapError(
                f"the map {path.parent} has format version {version!r:.40}; this program reads "
                f"versions 1 to {VERSION}: build the map again, or use the program that wrote it"
            )
        stated = values.pop("sha256", None)
        is_changed = version != 1 and stated != _checksum(values)
        if version == 1:
            values.setdefault("stored_dimension", values.get("dimension"))
        known = {each.name for each in fields(cls) if _FIELDS_SINCE.get(each.name, 1) <= version}
        if wrong := known ^ values.keys():
            raise MapError(f"{path} lacks fields or has unknown ones: {', '.join(sorted(wrong)):.200}")
        for name, (is_right, expected) in _RULES.items():
            if name in known and not is_right(values[name]):
                raise MapError(f"{path} is damaged: {name} is {values[name]!r:.80}; expected {expected}")
        if is_changed:
            raise MapError(f"{path} is damaged: its content has changed since it was written")
        header = cls(**values)
        header._check_whole(path)
        return header

    def _check_whole(self, path: Path) -> None:
        """Raise MapError unless the sizes belong together, and every file that is read is named."""
        if not self.stored_dimension <= self.dimension:
            raise MapError(
                f"{path} is damaged: {self.stored_dimension} of {self.dimension} numbers are stored"
            )
        read = {DESCRIPTORS_FILE, STAMPS_FILE, POSES_FILE, NAMES_FILE}
        if self.is_reduced:
            read.add(DIRECTIONS_FILE)
            if self.stored_dimension * self.dimension > _MOST_IN_DIRECTIONS:
                raise MapError(
                    f"{path}: directions of {self.stored_dimension} x {self.dimension} are too large"
                )
        if self.store_images != "none":
            read |= {IMAGES_FILE, IMAGE_ENDS_FILE}
        if len(self.sessions) > 1:
            read.add(SESSIONS_FILE)
        if FEATURE_FILES & self.files.keys():
            read |= FEATURE_FILES
        if missing := read - self.files.keys():
            raise MapError(f"{path} is damaged: it does not name {', '.join(sorted(missing))}")


def _parsed(path: Path) -> dict[str, Any]:
    if not os.path.lexists(path):
        raise MapError(f"there is no map in {path.parent}: {path.name} is missing")
    file = StoredFile(path)
    if file.size > _MOST_BYTES:
        raise MapError(f"{path} has {file.size} bytes; a map is described in fewer than {_MOST_BYTES}")
    try:
        values = json.loads(file.read())
    except (ValueError, RecursionError) as error:  # the second is raised for lists in lists in lists
        raise MapError(f"{path} is not readable as JSON: {error}") from error
    if not isinstance(values, dict):
        raise MapError(f"{path} does not describe a {FORMAT}")
    return values


def _checksum(values: dict[str, Any]) -> str:
    """Of all fields of map.json but the checksum itself."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


# --- What each field may be ---------------------------------------------------------------------------------


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_TEXT and "\0" not in value


def _is_message(value: Any) -> bool:
    """A text that a ROS message can carry."""
    return _is_text(value) and not re.search("[\ud800-\udfff]", value)


def _is_plain(value: Any) -> bool:
    return value is None or _is_text(value) or _is_number(value) or isinstance(value, bool)


def _is_number(value: Any, least: float = -_LARGEST, most: float = _LARGEST) -> bool:
    return type(value) in (int, float) and least <= value <= most  # false for NaN


def _is_count(value: Any, least: int = 0, most: int = 1 << 62) -> bool:
    return type(value) is int and least <= value <= most


def _is_table(value: Any, is_entry: Callable[[Any], bool]) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value)) and all(map(is_entry, value.values()))


def _is_file(value: Any) -> bool:
    """Size and checksum."""
    return (
        isinstance(value, dict)
        and value.keys() == {"bytes", "sha256"}
        and _is_count(value["bytes"])
        and isinstance(value["sha256"], str)
        and re.fullmatch("[0-9a-f]{64}", value["sha256"]) is not None
    )


def is_file_of_map(name: Any, stated: Any) -> bool:
    """Whether a name is that of a file of a map, and what is stated of it are its size and checksum."""
    return name in _ALL_FILES | {HEADER_FILE} and _is_file(stated)


def _is_session(value: Any) -> bool:
    return _is_table(value, _is_message) and value.keys() == {"name", "source", "map_id"}


def _is_step(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"operation", "maps"}
        and _is_message(value["operation"])
        and isinstance(value["maps"], list)
        and all(map(_is_message, value["maps"]))
    )


def _is_origin(value: Any) -> bool:
    return value is None or (
        isinstance(value, list)
        and len(value) == 3
        and _is_number(value[0], -90, 90)
        and _is_number(value[1], -180, 180)
        and _is_number(value[2], -_HIGHEST, _HIGHEST)
    )


def _is_list(value: Any, is_entry: Callable[[Any], bool], most: int) -> bool:
    return isinstance(value, list) and len(value) <= most and all(map(is_entry, value))


_MESSAGE = (_is_message, f"a text of at most {_LONGEST_TEXT} characters of Unicode")
_SIZE = (lambda value: _is_count(value, 1, _MOST_NUMBERS), f"a count from 1 to {_MOST_NUMBERS}")
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "map_id": _MESSAGE,
    "model_id": _MESSAGE,
    "frame_id": _MESSAGE,
    "source": _MESSAGE,
    "source_fingerprint": _MESSAGE,
    "dimension": _SIZE,
    "stored_dimension": _SIZE,
    "places": (lambda value: _is_count(value, 1, _MOST_PLACES), f"a count from 1 to {_MOST_PLACES}"),
    "preprocessing": (
        lambda value: _is_table(
            value, lambda entry: all(map(_is_plain, entry)) if isinstance(entry, list) else _is_plain(entry)
        ),
        "names with numbers, texts or lists of them",
    ),
    "weights": (lambda value: value is None or _is_text(value), "a path or null"),
    "store_images": (lambda value: value in ("none", "thumbnail", "full"), "none, thumbnail or full"),
    "spacing": (lambda value: _is_number(value, 0, _MOST_METRES), "metres"),
    # Rounded descriptors may be a little longer than 1.
    "similarity_threshold": (lambda value: _is_number(value, -1.01, 1.01), "a number from -1 to 1"),
    "skipped": (lambda value: _is_table(value, _is_count), "reasons with counts"),
    "sessions": (
        lambda value: _is_list(value, _is_session, _MOST_SESSIONS),
        "drives, each with its name, source and map_id",
    ),
    "history": (
        lambda value: _is_list(value, _is_step, _MOST_STEPS),
        "operations, each with the ids of its maps",
    ),
    "origin": (_is_origin, "latitude, longitude and height, or null"),
    "files": (
        lambda value: _is_table(value, _is_file) and value.keys() <= _ALL_FILES,
        "files of a map, each with its bytes and sha256",
    ),
}
