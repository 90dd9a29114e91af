"""What a build has done so far, on disk, so that a killed run continues.

Rows of descriptors and images are written first and a line of the journal after them: what the journal does
not name is unfinished, and the next start cuts it off.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from netvlad_core.data.geometry import Pose
from netvlad_core.mapping.rows import StoredRows

# A write for each line would cost as much as preparing what is written.
_WRITTEN_TOGETHER = 16


@dataclass(frozen=True)
class Entry:
    """One finished keyframe: a place, or a frame left out because of `error`.

    Attributes
    ----------
    name, stamp : name and stamp of the frame.
    pose : x y z qx qy qz qw, or None.
    image_end : offset in bytes behind the place's image in the images file.
    """

    name: str
    stamp: int
    pose: list[float] | None = None
    image_end: int = 0
    error: str | None = None

    @classmethod
    def of_place(cls, name: str, stamp: int, pose: Pose | None, image_end: int) -> Entry:
        values = None if pose is None else [*pose.position.tolist(), *pose.quaternion.tolist()]
        return cls(name, stamp, values, image_end)


class Journal:
    """Work folder of one build.

    Parameters
    ----------
    folder : made if missing.
    key : names source, options and model; work done under another key is thrown away.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        self.descriptors_path = folder / "descriptors.f32"
        self.images_path = folder / "images.bin"
        self._path = folder / "journal.jsonl"
        key_path = folder / "key"
        if not key_path.is_file() or key_path.read_text() != key:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            key_path.write_text(key)
        self.entries: list[Entry] = []
        self.place_count = 0
        self.image_end = 0
        self._unwritten: list[str] = []

    @property
    def places(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.error is None]

    def descriptors(self, dimension: int) -> StoredRows:
        """Of the places."""
        return StoredRows(self.descriptors_path, np.float32, (self.place_count, dimension))

    @property
    def broken(self) -> Counter[str]:
        """Kinds of broken frames and their counts."""
        return Counter(entry.error for entry in self.entries if entry.error is not None)

    def resume(self, dimension: int) -> None:
        """Read what an earlier run has finished, and open the files to append to; D is the dimension."""
        lines = self._path.read_bytes().splitlines(keepends=True) if self._path.is_file() else []
        whole = [line for line in lines if line.endswith(b"\n")]
        try:
            self.entries = [Entry(**json.loads(line)) for line in whole]
        except (ValueError, TypeError):
            self.entries = []  # a power cut leaves zeros where lines should be
        places = self.places
        self.image_end = places[-1].image_end if places else 0
        sizes = {
            self.descriptors_path: len(places) * dimension * 4,
            self.images_path: self.image_end,
            self._path: sum(map(len, whole)),
        }
        if len(self.entries) < len(whole) or any(
            (file.stat().st_size if file.is_file() else 0) < size for file, size in sizes.items()
        ):
            # The journal is damaged, or names what is gone: nothing of this work can be trusted.
            self.entries, self.image_end = [], 0
            sizes = dict.fromkeys(sizes, 0)
        self.place_count = len(self.places)
        for file, size in sizes.items():
            file.touch()
            os.truncate(file, size)
        self._descriptors = self.descriptors_path.open("ab")
        self._images = self.images_path.open("ab")
        self._journal = self._path.open("a")

    def append(self, entries: list[Entry], descriptors: list[np.ndarray], images: list[bytes]) -> None:
        """Add entries, soon on disk, with descriptors (D,) float32 and encoded images of the places."""
        self._descriptors.write(b"".join(row.tobytes() for row in descriptors))
        self._images.write(b"".join(images))
        self._unwritten += [json.dumps(asdict(entry)) + "\n" for entry in entries]
        self.entries += entries
        self.place_count += len(descriptors)
        if len(self._unwritten) >= _WRITTEN_TOGETHER:
            self._write()

    def _write(self) -> None:
        """Put all on disk, the lines last: they speak of what must be there already."""
        for file in (self._descriptors, self._images):
            file.flush()
        self._journal.writelines(self._unwritten)
        self._journal.flush()
        self._unwritten.clear()

    def close(self) -> None:
        self._write()
        for file in (self._descriptors, self._images, self._journal):
            file.close()
