"""Descriptors of all images of a training run in a file, so that a million of them need no memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from netvlad_core.model.extractor import Extractor
from netvlad_core.model.streaming import describe_frames
from netvlad_core.progress import bar
from netvlad_core.training.processes import Processes
from netvlad_core.training.views import Views


class DescriptorCache:
    """Rows of descriptors in a file, read through a memory map; NaN if an image cannot be read.

    Parameters
    ----------
    path : file of the rows.
    shape : (N, D), images and dimensions.
    kind : "float32" or "float16", with half the disk space and distances that are 1e-3 off at most.
    """

    def __init__(self, path: Path, shape: tuple[int, int], kind: str = "float32") -> None:
        self.path = path
        self._shape = shape
        self._type = np.dtype(kind)

    def prepare(self) -> None:
        """Make the file, sparse, if there is none of this size."""
        size = self._shape[0] * self._shape[1] * self._type.itemsize
        if not self.path.is_file() or self.path.stat().st_size != size:
            with self.path.open("wb") as file:
                file.truncate(size)

    def refresh(
        self, extractor: Extractor, views: Views, rows: np.ndarray, processes: Processes, progress: bool
    ) -> np.ndarray:
        """Describe the images of these rows anew, each process its share; all return when all have.

        Returns
        -------
        Rows of images that cannot be read, ascending.
        """
        if processes.is_first:
            self.prepare()
        processes.wait()
        own = processes.share(rows)
        done, is_broken = 0, np.zeros(len(views), np.int64)
        nothing = np.full(self._shape[1], np.nan, np.float32)
        with bar(title="descriptors", total=len(own), show=progress) as shown:
            for batch in describe_frames((views.frames[row] for row in own), extractor):
                here = own[done : done + len(batch)]
                described = [nothing if frame.descriptor is None else frame.descriptor for frame in batch]
                self.write(here, np.stack(described))
                is_broken[here] = [frame.descriptor is None for frame in batch]
                done += len(batch)
                shown.update(len(batch))
        return np.flatnonzero(processes.sum_array(is_broken))  # which waits for all

    def write(self, rows: np.ndarray, descriptors: np.ndarray) -> None:
        """Put descriptors (n, D) into rows (n,)."""
        # Not through a map: on a network file system other machines see what was written and closed.
        with self.path.open("r+b") as file:
            for row, descriptor in zip(rows.tolist(), descriptors.astype(self._type), strict=True):
                file.seek(row * descriptor.nbytes)
                file.write(descriptor.tobytes())

    def open(self) -> np.ndarray:
        """The rows (N, D) as they are now, read only."""
        return np.memmap(self.path, self._type, "r", shape=self._shape)
