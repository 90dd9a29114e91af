"""Images of the next step are read while the network works on this one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from netvlad_core.errors import ImageError
from netvlad_core.training.augmentation import augment
from netvlad_core.training.batches import Batch
from netvlad_core.training.config import TrainingConfig
from netvlad_core.training.processes import Processes
from netvlad_core.training.views import Views


class Loaded(NamedTuple):
    """A batch without what cannot be read, the images of this process' share, and the rows left out."""

    batch: Batch
    images: list[np.ndarray]
    broken: np.ndarray


class Loader:
    """Reads and changes the images of batches; one seed, epoch and image, one change."""

    def __init__(self, views: Views, config: TrainingConfig, processes: Processes) -> None:
        self._views = views
        self._config = config
        self._processes = processes

    def load(self, batches: Sequence[Batch], epoch: int) -> Iterator[Loaded]:
        """Yield batches in order, one ahead of the caller in the threads."""
        with ThreadPoolExecutor(self._config.workers, "read") as pool:

            def start(batch: Batch) -> dict[int, Future[np.ndarray | None]]:
                rows = self._processes.share(batch.rows).tolist()
                return {row: pool.submit(self._read, row, epoch) for row in rows}

            ahead = start(batches[0]) if batches else {}
            for number, batch in enumerate(batches):
                reading = ahead
                if number + 1 < len(batches):
                    ahead = start(batches[number + 1])
                yield self._finish(batch, {row: image.result() for row, image in reading.items()}, epoch)

    def _finish(self, batch: Batch, images: dict[int, np.ndarray | None], epoch: int) -> Loaded:
        """Leave out what any process could not read; then each has another share, partly read already."""
        is_broken = np.isin(batch.rows, [row for row, image in images.items() if image is None])
        broken = batch.rows[self._processes.sum_array(is_broken.astype(np.int64)) > 0]
        if len(broken):
            batch = batch.without(broken)
        own = self._processes.share(batch.rows).tolist()
        found = [images[row] if row in images else self._read(row, epoch) for row in own]
        return Loaded(batch, [image for image in found if image is not None], broken)

    def _read(self, row: int, epoch: int) -> np.ndarray | None:
        try:
            image = self._views.read(row)
        except ImageError:
            return None
        random = np.random.default_rng([self._config.seed, epoch, row])
        return augment(image, self._config.photometric, self._config.perspective, random)
