"""The map on disk, opened: arrays and images, as map.json describes them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netvlad_core.data.camera import Camera
from netvlad_core.errors import CameraError, CheckpointError, ImageError, MapError
from netvlad_core.geometry.evidence import Likelihood, is_likelihood
from netvlad_core.geometry.features import KINDS
from netvlad_core.geometry.packing import PackedFeatures, StoredFeatures
from netvlad_core.mapping import map_header as layout
from netvlad_core.mapping.contents import check_descriptors, check_places, check_sessions
from netvlad_core.mapping.map_header import MapHeader
from netvlad_core.mapping.places import Places
from netvlad_core.mapping.projection import STORED_DIMENSION
from netvlad_core.mapping.rows import StoredRows, check_kind, load_array
from netvlad_core.mapping.stored_file import StoredFile

if TYPE_CHECKING:
    from netvlad_core.model.extractor import Extractor

# Of the descriptors, by version; rounding them moves no similarity by more than 0.001.
_TYPES: dict[int, type] = {1: np.float32, 2: np.float16, 3: np.float16, 4: np.float16}
# Files up to this size are checked on every opening; larger ones on request, since a robot with 100 000
# places would read gigabytes before its first answer.
_ALWAYS_CHECKED_BYTES = 1 << 24
# Of JSON files other than map.json, before they are parsed.
_MOST_BYTES_PER_NAME, _MOST_NAMES_BYTES, _MOST_CAMERA_BYTES = 10_000, 1 << 30, 1 << 20
_MOST_CAMERAS_BYTES = 1 << 24


class PlaceMap(Places):
    """A map, opened for reading: descriptors and images stay on disk, everything else is in memory.

    Once opened it stays what it is even if a newer map replaces the folder; only the network is read later.
    If another program writes into its files, what is read later raises MapError.

    Attributes
    ----------
    path : folder.
    header : content of map.json.
    names : names of the places' frames in their source.
    descriptors : (N, P) float16 on disk, of a map in format 1 float32; rows are read by index as float32.
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

    descriptors: StoredRows

    def __init__(self, path: Path, header: MapHeader, files: Mapping[str, StoredFile]) -> None:
        self.path = path
        self.header = header
        count, width = header.places, header.stored_dimension
        rows = StoredRows.of_npy(files[layout.DESCRIPTORS_FILE])
        check_kind(
            files[layout.DESCRIPTORS_FILE], rows.dtype, rows.shape, _TYPES[header.version], (count, width)
        )
        images: Sequence[bytes] | None = None
        if header.store_images != "none":
            ends = load_array(files[layout.IMAGE_ENDS_FILE], np.int64, (count,))
            images = _Pieces(files[layout.IMAGES_FILE], ends)
        super().__init__(
            rows,
            load_array(files[layout.STAMPS_FILE], np.int64, (count,)),
            load_array(files[layout.POSES_FILE], np.float64, (count, 7)),
            _read_camera(files[layout.CAMERA_FILE]) if layout.CAMERA_FILE in files else None,
            images,
            load_array(files[layout.SESSIONS_FILE], np.int32, (count,)) if len(header.sessions) > 1 else None,
            _read_cameras(files[layout.CAMERAS_FILE], len(header.sessions))
            if layout.CAMERAS_FILE in files
            else (),
            _read_features(files, count) if layout.FEATURES_FILE in files else None,
        )
        self.directions: np.ndarray | None = None
        if header.is_reduced:
            stored = load_array(files[layout.DIRECTIONS_FILE], np.float16, (width, header.dimension))
            self.directions = stored.astype(np.float32)
        self.names = _read_names(files[layout.NAMES_FILE], count)
        check_places(self.path, self.stamps, self.poses, self.directions)
        check_sessions(self.path, self.sessions, max(1, len(header.sessions)))

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
                    opened = cls._load(path, MapHeader.read(path / layout.HEADER_FILE), verify)
                except MapError:
                    if is_still_there():
                        raise
                else:
                    if is_still_there():
                        return opened

    @classmethod
    def _load(cls, path: Path, header: MapHeader, verify: bool) -> PlaceMap:
        files = {
            name: checked_file(path / name, stated, verify)
            for name, stated in header.files.items()
            if name != layout.INDEX_FILE  # made anew if it is not whole
        }
        opened = cls(path, header, files)
        if verify or files[layout.DESCRIPTORS_FILE].size <= _ALWAYS_CHECKED_BYTES:
            check_descriptors(path, opened.descriptors, header.is_reduced)
        return opened

    @property
    def drives(self) -> list[dict[str, str]]:
        """Name, source and first map of each session."""
        header = self.header
        name = header.map_id.rpartition("@")[0]
        return header.sessions or [{"name": name, "source": header.source, "map_id": header.map_id}]

    def image(self, place: int) -> np.ndarray | None:
        """Stored image of a place, uint8 RGB (H, W, 3), or None if the map keeps none."""
        try:
            return super().image(place)
        except ImageError as error:
            raise MapError(
                f"the image of place {place} in {self.path / layout.IMAGES_FILE}: {error}"
            ) from error

    def stored_features(self, place: int) -> PackedFeatures | None:
        try:
            return super().stored_features(place)
        except MapError as error:
            raise MapError(f"place {place} in {self.path / layout.FEATURES_FILE}: {error}") from error

    def reduced(self, descriptors: np.ndarray) -> np.ndarray:
        """What is compared with `descriptors`, (Q, P) float32, of descriptors (Q, D) of the network."""
        return descriptors if self.directions is None else descriptors @ self.directions.T

    def whole_descriptors(self, rows: slice | np.ndarray = slice(None)) -> np.ndarray:
        """Descriptors of places as the network gives them, (K, D) float32, as far as they were kept."""
        stored = self.descriptors[rows]
        return stored if self.directions is None else stored @ self.directions

    @property
    def growing_dimension(self) -> int:
        """Numbers to store of a place in a map that grows from this one: as few as here, or all as here."""
        is_fixed = self.header.is_reduced or len(self) > STORED_DIMENSION
        return self.header.stored_dimension if is_fixed else STORED_DIMENSION

    @property
    def index_path(self) -> Path | None:
        """Stored index of the descriptors, None if there is none or it is not whole."""
        path, stated = self.path / layout.INDEX_FILE, self.header.files.get(layout.INDEX_FILE)
        try:
            return checked_file(path, stated, verify=True).path if stated else None
        except MapError:
            return None

    @property
    def network_path(self) -> Path:
        """File with the network that made the descriptors: in the map, or where it was found."""
        if self.header.weights is not None:
            return Path(self.header.weights)
        possible = (layout.NETWORK_FILE, *sorted(layout.ONNX_FILES))
        held = (name for name in possible if name in self.header.files)
        return self.path / next(held, layout.NETWORK_FILE)

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
        is_named = weights or self.header.weights is not None or path.name in self.header.files
        if not is_named or not path.is_file():
            raise CheckpointError(
                f"the model {self.header.model_id} of the map {self.path} is not at {path}; "
                "name its checkpoint"
            )
        extractor = Extractor.load(path, device, precision=precision)
        self.check_model(extractor)
        return extractor

    def check_model(self, extractor: Extractor) -> None:
        """Refuse another model than the map's own; raises MapError that names both."""
        own, dimension = self.header.model_id, self.header.dimension
        if extractor.model_id != own:
            raise MapError(
                f"the map {self.path} was built with the model {own}, but the model at hand is "
                f"{extractor.model_id}: their descriptors cannot be compared; use the map's model or "
                "build the map again"
            )
        if extractor.dimension != dimension:
            raise MapError(
                f"the map {self.path} is damaged: {dimension} numbers of a descriptor, but the model {own} "
                f"gives {extractor.dimension}"
            )


class _Pieces(Sequence[bytes]):
    """Pieces of a file, one after the other, with their ends (N,); MapError if they do not fit."""

    def __init__(self, file: StoredFile, ends: np.ndarray) -> None:
        self._file, self._bounds = file, np.concatenate([np.zeros(1, np.int64), ends])
        if (np.diff(self._bounds) < 0).any() or self._bounds[-1] != file.size:
            raise MapError(f"the ends of the pieces do not fit {file.path} of {file.size} bytes")

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def __getitem__(self, row: Any) -> Any:
        start, end = self._bounds[range(len(self))[row] :][:2].tolist()
        return self._file.read(start, end - start)


def checked_file(path: Path, stated: Mapping[str, Any], verify: bool) -> StoredFile:
    """Open a file that has the size and checksum that map.json states; raises MapError naming the file."""
    file = StoredFile(path)
    damaged = f"the map {path.parent} is damaged: "
    if file.size != stated["bytes"]:
        raise MapError(f"{damaged}{path.name} has {file.size} bytes instead of {stated['bytes']}")
    if (verify or file.size <= _ALWAYS_CHECKED_BYTES) and file.sha256() != stated["sha256"]:
        raise MapError(f"{damaged}the content of {path.name} has changed since it was written")
    return file


def _read_names(file: StoredFile, count: int) -> list[str]:
    most = min(count * _MOST_BYTES_PER_NAME, _MOST_NAMES_BYTES)
    try:
        names = json.loads(file.read()) if file.size <= most else None
    except (ValueError, RecursionError) as error:
        raise MapError(f"{file.path} is not readable as JSON: {error}") from error
    if not isinstance(names, list) or len(names) != count or not all(isinstance(name, str) for name in names):
        raise MapError(f"{file.path} is damaged: expected a list of {count} names")
    return names


def _read_camera(file: StoredFile) -> Camera:
    try:
        return Camera.from_json(file.read(0, min(file.size, _MOST_CAMERA_BYTES)).decode())
    except (ValueError, CameraError) as error:
        raise MapError(f"{file.path} is damaged: {error}") from error


def _read_cameras(file: StoredFile, count: int) -> list[Camera | None]:
    try:
        values = json.loads(file.read(0, min(file.size, _MOST_CAMERAS_BYTES)))
        if not isinstance(values, list) or len(values) != count:
            raise CameraError(f"expected a list of {count} calibrations")
        return [None if value is None else Camera.from_json(json.dumps(value)) for value in values]
    except (ValueError, RecursionError, CameraError) as error:
        raise MapError(f"{file.path} is damaged: {error}") from error


def _read_features(files: Mapping[str, StoredFile], count: int) -> StoredFeatures:
    file = files[layout.FEATURE_FACTS_FILE]
    try:
        facts = json.loads(file.read(0, min(file.size, _MOST_CAMERA_BYTES)))
    except (ValueError, RecursionError) as error:
        raise MapError(f"{file.path} is not readable as JSON: {error}") from error
    is_right = isinstance(facts, dict) and facts.keys() == {"kind", "likelihood"}
    if not is_right or not (facts["likelihood"] is None or is_likelihood(facts["likelihood"])):
        raise MapError(f"{file.path} is damaged: expected the kind of the features and a likelihood")
    if facts["kind"] not in KINDS:
        raise MapError(
            f"{file.path} names the local features {facts['kind']!r:.40}; this program knows "
            f"{', '.join(KINDS)}"
        )
    ends = load_array(files[layout.FEATURE_ENDS_FILE], np.int64, (count,))
    rows = _Pieces(files[layout.FEATURES_FILE], ends)
    taught = facts["likelihood"]
    return StoredFeatures(facts["kind"], rows, None if taught is None else Likelihood.from_json(taught))


@contextmanager
def _held(path: Path) -> Iterator[Callable[[], bool]]:
    """Yield whether the path still names the folder; while that is held its inode is given to no other."""
    if not os.path.isdir(path):  # whatever is wrong with the name
        raise MapError(f"there is no map {path}: it is not a folder")
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise MapError(f"the map {path} cannot be opened: {error.strerror}") from error
    try:
        yield lambda: path.is_dir() and os.path.samestat(os.fstat(folder), path.stat())
    finally:
        os.close(folder)
