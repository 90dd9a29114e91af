"""The map on disk: descriptors, stamps and poses in memory-mappable arrays, described by map.json."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netvlad_core.data.camera import Camera
from netvlad_core.errors import CameraError, CheckpointError, ImageError, MapError
from netvlad_core.files import sha256_of
from netvlad_core.mapping.places import Places

if TYPE_CHECKING:
    from netvlad_core.model.extractor import Extractor

FORMAT = "netvlad_ros place map"
VERSION = 2
# Of the descriptors, by version; rounding them moves no similarity by more than 0.001.
_TYPES: dict[Any, type] = {1: np.float32, 2: np.float16}

HEADER_FILE = "map.json"
DESCRIPTORS_FILE = "descriptors.npy"
DIRECTIONS_FILE = "directions.npy"
INDEX_FILE = "index.faiss"  # only of very large maps; what it says can be made anew
STAMPS_FILE = "stamps.npy"
POSES_FILE = "poses.npy"
NAMES_FILE = "names.json"
NETWORK_FILE = "model.safetensors"
ONNX_FILE = "model.float32.onnx"  # of the same network; `variant_path` finds it
ONNX_FILES = "model.*.onnx"  # and those that `netvlad export` has put beside it
IMAGES_FILE = "images.bin"
IMAGE_ENDS_FILE = "image_ends.npy"
CAMERA_FILE = "camera.json"

# Files up to this size are checked on every opening; larger ones on request, since a robot with 100 000
# places would read gigabytes before its first answer.
_ALWAYS_CHECKED_BYTES = 1 << 24


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
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    format: str = FORMAT
    version: int = VERSION

    def write(self, path: Path) -> None:
        values = asdict(self)
        path.write_text(json.dumps({**values, "sha256": _checksum(values)}, indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> MapHeader:
        """Read and check map.json; raises MapError."""
        try:
            values = json.loads(path.read_text())
        except FileNotFoundError as error:
            raise MapError(f"there is no map in {path.parent}: {path.name} is missing") from error
        except (OSError, ValueError) as error:
            raise MapError(f"{path} is not readable as JSON: {error}") from error
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise MapError(f"{path} does not describe a {FORMAT}")
        if values.get("version") not in (1, VERSION):
            raise MapError(
                f"the map {path.parent} has format version {values.get('version')}; this program reads "
                f"versions 1 to {VERSION}: build the map again, or use the program that wrote it"
            )
        stated = values.pop("sha256", None)
        if values["version"] == 1:
            values.setdefault("stored_dimension", values.get("dimension"))
        if wrong := {member.name for member in fields(cls)} ^ values.keys():
            raise MapError(f"{path} lacks fields or has unknown ones: {', '.join(sorted(wrong))}")
        if values["version"] != 1 and stated != _checksum(values):
            raise MapError(f"{path} is damaged: its content has changed since it was written")
        return cls(**values)


class PlaceMap(Places):
    """A map, opened for reading; its arrays are memory-mapped.

    Once opened it stays what it is even if a newer map replaces the folder; only the network is read later.

    Attributes
    ----------
    path : folder.
    header : content of map.json.
    names : names of the places' frames in their source.
    descriptors : (N, P) float16, of a map in format 1 float32.
    directions : (P, D) float32, orthonormal rows that span the subspace of a reduced map; None if P = D.

    Examples
    --------
    >>> from netvlad_core import PlaceMap
    >>> place_map = PlaceMap.open("maps/campus")
    >>> len(place_map), place_map.descriptors.shape, place_map.names[3]
    (40, (40, 896), '003.png')
    >>> place_map.pose(3).position.tolist(), place_map.image(3).shape
    ([6.0, 0.0, 0.0], (120, 160, 3))
    """

    def __init__(self, path: Path, header: MapHeader) -> None:
        self.path = path
        self.header = header
        shape = (header.places,)
        images: Sequence[bytes] | None = None
        if header.store_images != "none":
            file = path / IMAGES_FILE
            content = np.memmap(file, np.uint8, mode="r") if file.stat().st_size else np.empty(0, np.uint8)
            images = _Files(content, _load_array(path / IMAGE_ENDS_FILE, np.int64, shape))
        super().__init__(
            _load_array(
                path / DESCRIPTORS_FILE, _TYPES[header.version], (header.places, header.stored_dimension)
            ),
            _load_array(path / STAMPS_FILE, np.int64, shape),
            _load_array(path / POSES_FILE, np.float64, (header.places, 7)),
            Camera.from_json((path / CAMERA_FILE).read_text()) if CAMERA_FILE in header.files else None,
            images,
        )
        self.directions: np.ndarray | None = None
        if header.stored_dimension != header.dimension:
            reduced = (header.stored_dimension, header.dimension)
            self.directions = np.array(_load_array(path / DIRECTIONS_FILE, np.float16, reduced), np.float32)
        self.names: list[str] = json.loads((path / NAMES_FILE).read_text())

    @classmethod
    def open(cls, path: Path | str, verify: bool = False) -> PlaceMap:
        """Open a map folder.

        Parameters
        ----------
        verify : whether to compare the checksums of large files, too (reads the whole map).

        Raises
        ------
        MapError
            If the map is missing, of another format version, or a file in it missing, truncated or changed.
        """
        path = Path(path)
        while True:  # a folder that is replaced meanwhile is read again: what was read may be of both maps
            with _held(path) as is_still_there:
                try:
                    opened = cls._load(path, MapHeader.read(path / HEADER_FILE), verify)
                except MapError:
                    if is_still_there():
                        raise
                else:
                    if is_still_there():
                        return opened

    @classmethod
    def _load(cls, path: Path, header: MapHeader, verify: bool) -> PlaceMap:
        try:
            check_files(path, header.files, verify)
            return cls(path, header)
        except (KeyError, TypeError, AttributeError) as error:
            raise MapError(f"{path / HEADER_FILE} is damaged: {error!r}") from error
        except (OSError, ValueError, CameraError) as error:
            raise MapError(f"the map {path} is not readable: {error}") from error

    def image(self, place: int) -> np.ndarray | None:
        """Stored image of a place, uint8 RGB (H, W, 3), or None if the map keeps none."""
        try:
            return super().image(place)
        except ImageError as error:
            raise MapError(f"the image of place {place} in {self.path / IMAGES_FILE}: {error}") from error

    def reduced(self, descriptors: np.ndarray) -> np.ndarray:
        """What is compared with `descriptors`, (Q, P) float32, of descriptors (Q, D) of the network."""
        return descriptors if self.directions is None else descriptors @ self.directions.T

    def whole_descriptors(self) -> np.ndarray:
        """Descriptors of the places as the network gives them, (N, D) float32, as far as they were kept."""
        stored = np.asarray(self.descriptors, np.float32)
        return stored if self.directions is None else stored @ self.directions

    @property
    def index_path(self) -> Path | None:
        """Stored index of the descriptors, None if there is none or it is not whole."""
        path, stated = self.path / INDEX_FILE, self.header.files.get(INDEX_FILE)
        return path if stated and path.is_file() and sha256_of(path) == stated["sha256"] else None

    @property
    def network_path(self) -> Path:
        """File with the network that made the descriptors: in the map, or where it was found."""
        return self.path / NETWORK_FILE if self.header.weights is None else Path(self.header.weights)

    def open_extractor(
        self, weights: Path | None = None, device: str = "auto", precision: str = "auto"
    ) -> Extractor:
        """Open the network that made the map.

        Raises CheckpointError if there is no such file or it is damaged, MapError if it is another network.

        Parameters
        ----------
        weights : its checkpoint or ONNX file; None takes `network_path`.
        device, precision : as in `Extractor.load`.
        """
        from netvlad_core.model.extractor import Extractor  # a map is also opened where no network runs

        path = weights or self.network_path
        if not path.is_file():
            raise CheckpointError(
                f"the model {self.header.model_id} of the map {self.path} is not at {path}; "
                "name its checkpoint"
            )
        extractor = Extractor.load(path, device, precision=precision)
        self.check_model(extractor.model_id)
        return extractor

    def check_model(self, model_id: str) -> None:
        """Refuse another model than the map's own; raises MapError that names both."""
        if model_id != self.header.model_id:
            raise MapError(
                f"the map {self.path} was built with the model {self.header.model_id}, but the model at hand "
                f"is {model_id}: their descriptors cannot be compared; use the map's model or build the map "
                "again"
            )


class _Files(Sequence[bytes]):
    """Files one after the other in a memory-mapped one, with their ends (N,)."""

    def __init__(self, content: np.ndarray, ends: np.ndarray) -> None:
        self._content, self._ends = content, ends

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, row: Any) -> Any:
        start = int(self._ends[row - 1]) if row else 0
        return self._content[start : int(self._ends[row])].tobytes()


def check_files(folder: Path, files: dict[str, dict[str, Any]], verify: bool) -> None:
    """Compare files with the sizes and checksums that map.json states; raises MapError naming the file."""
    for name, stated in files.items():
        path = folder / name
        if name == INDEX_FILE:
            continue  # made anew if it is not whole
        if not path.is_file():
            raise MapError(f"the map {folder} is damaged: {name} is missing")
        size = path.stat().st_size
        if size != stated["bytes"]:
            raise MapError(
                f"the map {folder} is damaged: {name} has {size} bytes instead of {stated['bytes']}"
            )
        if (verify or size <= _ALWAYS_CHECKED_BYTES) and sha256_of(path) != stated["sha256"]:
            raise MapError(
                f"the map {folder} is damaged: the content of {name} has changed since it was written"
            )


def describe_files(folder: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Size and checksum of files, for map.json."""
    return {
        name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_of(folder / name)} for name in names
    }


def _checksum(values: dict[str, Any]) -> str:
    """Of all fields of map.json but the checksum itself."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


@contextmanager
def _held(path: Path) -> Iterator[Callable[[], bool]]:
    """Yield whether the path still names the folder; while that is held its inode is given to no other."""
    if not path.is_dir():
        raise MapError(f"there is no map {path}: it is not a folder")
    folder = os.open(path, os.O_RDONLY)
    try:
        yield lambda: path.is_dir() and os.path.samestat(os.fstat(folder), path.stat())
    finally:
        os.close(folder)


def _load_array(path: Path, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    try:
        # An empty file cannot be mapped, and a small one need not be.
        array = np.load(path, mmap_mode="r" if shape[0] else None, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise MapError(f"{path} is not readable as an array: {error}") from error
    if array.dtype != dtype or array.shape != shape:
        expected = f"{np.dtype(dtype)} {shape}"
        raise MapError(f"{path} holds {array.dtype} {array.shape}; map.json says {expected}")
    return array
