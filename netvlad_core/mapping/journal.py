"""What a build has done so far, on disk, so that a killed run continues.

Rows of descriptors and images are written first and a line of the journal after them: what the journal does
not name is unfinished, and the next start cuts it off. A line carries a checksum over itself and its row, and
is written when the row is on the disk: a power cut may leave zeros in its place.
"""

from __future__ import annotations

import json
import os
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from netvlad_core.data.geometry import Pose
from netvlad_core.errors import MapError
from netvlad_core.files import written_whole
from netvlad_core.mapping.map_header import NETWORK_FILE, ONNX_FILE
from netvlad_core.mapping.rows import StoredRows
from netvlad_core.mapping.stored_file import StoredFile

# Waiting for the disk after each line would cost more than preparing what is written: a hundredth of the time
# is enough, however slow the disk is.
_WRITTEN_TOGETHER = 16
_WORK_PER_WAIT = 100.0
_MARK = "netvlad_ros build\n"  # begins the file `key`, and tells our work from a stranger's folder
_KEY_FILE = "key"


@dataclass(frozen=True)
class Entry:
    """One finished keyframe: a place, or a frame left out because of `error`.

    Attributes
    ----------
    name, stamp : name and stamp of the frame.
    pose : x y z qx qy qz qw, or None.
    image_end : offset in bytes behind the place's image and local features in the images file.
    features : bytes of the local features, which come last.
    crc : checksum over all else in the entry, the descriptor and the image.
    """

    name: str
    stamp: int
    pose: list[float] | None = None
    image_end: int = 0
    features: int = 0
    error: str | None = None
    crc: int = 0

    @classmethod
    def of_place(cls, name: str, stamp: int, pose: Pose | None, image_end: int, features: int = 0) -> Entry:
        values = None if pose is None else [*pose.position.tolist(), *pose.quaternion.tolist()]
        return cls(name, stamp, values, image_end, features)

    def sealed(self, row: bytes = b"", image: bytes = b"") -> Entry:
        """The entry with the checksum that belongs to its descriptor and image."""
        line = json.dumps(vars(self) | {"crc": 0})
        return replace(self, crc=zlib.crc32(image, zlib.crc32(row, zlib.crc32(line.encode()))))


class Journal:
    """Work folder of one build.

    Parameters
    ----------
    folder : made if missing.
    key : names source, options and model; work done under another key is thrown away.

    Raises
    ------
    MapError
        If the folder holds what no build has put there.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        self.descriptors_path = folder / "descriptors.f32"
        self.images_path = folder / "images.bin"
        self._path = folder / "journal.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        if self._read_key() != _MARK + key:
            self._clear()
            with written_whole(folder / _KEY_FILE) as partial:
                partial.write_text(_MARK + key)
        self.entries: list[Entry] = []
        self.place_count = 0
        self.image_end = 0
        self._unwritten: list[Entry] = []
        self._next_write = 0.0

    def _read_key(self) -> str:
        """Key of an earlier run, empty if there was none; raises MapError for a folder of somebody else."""
        ours = {path.name for path in self._files} | {_KEY_FILE}
        names = {path.name for path in self.folder.iterdir() if not path.name.startswith(".netvlad-")}
        key_file = self.folder / _KEY_FILE
        key = key_file.read_text(errors="replace") if key_file.is_file() else ""
        if names and not (names <= ours and key.startswith(_MARK)):
            raise MapError(
                f"{self.folder} holds {min(names - ours, default=_KEY_FILE)}, which no build has put "
                "there; move that folder away, or choose another output"
            )
        return key

    @property
    def _files(self) -> list[Path]:
        network = [self.folder / name for name in (NETWORK_FILE, ONNX_FILE)]
        return [self._path, self.descriptors_path, self.images_path, *network]

    def _clear(self) -> None:
        for path in self._files:
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove all work; the folder stays. The key goes last: it says that the rest is ours."""
        self._clear()
        (self.folder / _KEY_FILE).unlink()

    @property
    def places(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.error is None]

    def descriptors(self, dimension: int) -> StoredRows:
        """Of the places."""
        return StoredRows(self.descriptors_path, np.float32, (self.place_count, dimension))

    def pieces(self, of_features: bool) -> Sequence[bytes]:
        """Packed local features, or the images, of the places; read when they are asked for."""
        return _Pieces(StoredFile(self.images_path), self.places, of_features)

    @property
    def broken(self) -> Counter[str]:
        """Kinds of broken frames and their counts."""
        return Counter(entry.error for entry in self.entries if entry.error is not None)

    def resume(self, dimension: int, batch_size: int) -> None:
        """Read what an earlier run has finished, and open the files to append to; D is the dimension.

        What follows the first line that does not fit its row is done again, and so is a batch of frames that
        is not complete: a network rounds otherwise in a batch of another size, and the map is to be the one
        of a run that was not stopped.
        """
        for file in (self._path, self.descriptors_path, self.images_path):
            file.touch()
        lines = self._path.read_bytes().splitlines(keepends=True)
        rows, images = StoredFile(self.descriptors_path), StoredFile(self.images_path)
        for line in lines:
            entry = self._verified(line, rows, images, dimension * 4)
            if entry is None:
                break
            self.entries.append(entry)
            if entry.error is None:
                self.place_count, self.image_end = self.place_count + 1, entry.image_end
        del self.entries[len(self.entries) // batch_size * batch_size :]
        places = self.places
        self.place_count, self.image_end = len(places), places[-1].image_end if places else 0
        os.truncate(self._path, sum(map(len, lines[: len(self.entries)])))
        os.truncate(self.descriptors_path, self.place_count * dimension * 4)
        os.truncate(self.images_path, self.image_end)
        self._descriptors = self.descriptors_path.open("ab")
        self._images = self.images_path.open("ab")
        self._journal = self._path.open("a")

    def _verified(self, line: bytes, rows: StoredFile, images: StoredFile, width: int) -> Entry | None:
        """The entry in the next line, None if the line or its row is not what was written."""
        row = image = b""
        try:
            entry = Entry(**json.loads(line))
            if entry.error is None:
                row = rows.read(self.place_count * width, width)
                image = images.read(self.image_end, entry.image_end - self.image_end)
        except (ValueError, TypeError, RecursionError, MapError):  # zeros, or files shorter than it says
            return None
        return entry if line.endswith(b"\n") and entry == entry.sealed(row, image) else None

    def append(self, entries: list[Entry], descriptors: list[np.ndarray], images: list[bytes]) -> None:
        """Add entries, soon on disk, with descriptors (D,) float32 and encoded images of the places."""
        rows = [row.tobytes() for row in descriptors]
        self._descriptors.write(b"".join(rows))
        self._images.write(b"".join(images))
        parts = zip(rows, images or [b""] * len(rows), strict=True)
        self._unwritten += [
            entry.sealed(*next(parts)) if entry.error is None else entry.sealed() for entry in entries
        ]
        self.entries += entries
        self.place_count += len(descriptors)
        if len(self._unwritten) >= _WRITTEN_TOGETHER and monotonic() >= self._next_write:
            self._write()

    def _write(self) -> None:
        """Put all on the disk, the lines last: they vouch for what must be there already."""
        start = monotonic()
        for file in (self._descriptors, self._images):
            file.flush()
            os.fsync(file.fileno())
        self._journal.writelines(json.dumps(vars(entry)) + "\n" for entry in self._unwritten)
        self._journal.flush()
        self._unwritten.clear()
        self._next_write = monotonic() + _WORK_PER_WAIT * (monotonic() - start)

    def close(self) -> None:
        self._write()
        for file in (self._descriptors, self._images, self._journal):
            file.close()


class _Pieces(Sequence[bytes]):
    """Images, or the packed local features behind them."""

    def __init__(self, file: StoredFile, places: list[Entry], of_features: bool) -> None:
        self._file, self._places, self._of_features = file, places, of_features

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, row: Any) -> Any:
        row = range(len(self))[row]
        entry, start = self._places[row], self._places[row - 1].image_end if row else 0
        between = entry.image_end - entry.features
        first, end = (between, entry.image_end) if self._of_features else (start, between)
        return self._file.read(first, end - first)
