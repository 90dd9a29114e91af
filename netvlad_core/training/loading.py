"""Images of the next step are read, and changed at random, while the network works on this one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest

import cv2
import numpy as np

from netvlad_core.errors import ImageError
from netvlad_core.training.batches import Batch
from netvlad_core.training.config import TrainingConfig
from netvlad_core.training.processes import Processes
from netvlad_core.training.views import Views

# At strength 1, for each image: factors of brightness and of single channels, exponents of contrast.
_BRIGHTNESS = np.log(2.5)
_COLOUR = np.log(1.4)
_GAMMA = np.log(2.0)
_NOISE = 8.0  # grey levels
# Lamps and shadows: standard deviation of the logarithm of brightness between the parts of an image.
_UNEVEN = 0.5
_PARTS = (3, 4)
_BLUR = 0.006  # standard deviation, share of the height


# A batch without what cannot be read, the images of this process' share, and the rows left out.
Loaded = tuple[Batch, list[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Loader:
    """Reads and changes the images of batches; one seed, epoch and image, one change."""

    views: Views
    config: TrainingConfig
    processes: Processes

    def load(self, batches: Sequence[Batch], epoch: int) -> Iterator[Loaded]:
        """Yield batches in order, one ahead of the caller in the threads."""
        with ThreadPoolExecutor(self.config.workers, "read") as pool:

            def start(batch: Batch) -> dict[int, Future[np.ndarray | None]]:
                rows = self.processes.share(batch.rows).tolist()
                return {row: pool.submit(self._read, row, epoch) for row in rows}

            ahead = start(batches[0]) if batches else {}
            for batch, following in zip_longest(batches, batches[1:]):
                reading, ahead = ahead, start(following) if following else {}
                yield self._finish(batch, {row: image.result() for row, image in reading.items()}, epoch)

    def _finish(self, batch: Batch, images: dict[int, np.ndarray | None], epoch: int) -> Loaded:
        """Leave out what any process could not read; then each has another share, partly read already."""
        is_broken = np.isin(batch.rows, [row for row, image in images.items() if image is None])
        broken = batch.rows[self.processes.sum_array(is_broken.astype(np.int64)) > 0]
        if len(broken):
            batch = batch.without(broken)
        own = self.processes.share(batch.rows).tolist()
        found = [images[row] if row in images else self._read(row, epoch) for row in own]
        return batch, [image for image in found if image is not None], broken

    def _read(self, row: int, epoch: int) -> np.ndarray | None:
        try:
            image = self.views.read(row)
        except ImageError:
            return None
        random = np.random.default_rng([self.config.seed, epoch, row])
        return augment(image, self.config.photometric, self.config.perspective, random)


def augment(
    image: np.ndarray, photometric: float, perspective: float, random: np.random.Generator
) -> np.ndarray:
    """Change light, colour and viewpoint of an image (H, W, 3) uint8 RGB, so that training sees past them.

    Parameters
    ----------
    photometric : strength of gamma, brightness over the image and in parts of it, colour cast, desaturation,
        blur and noise, 0 to 1.
    perspective : most that each corner moves inwards or outwards, as a share of the sides.
    """
    if perspective:
        image = _move_corners(image, perspective, random)
    return _change_light(image, photometric, random) if photometric else image


def _move_corners(image: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    moved = corners + random.uniform(-share, share, (4, 2)) * [width, height]
    matrix = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    return cv2.warpPerspective(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)


def _change_light(image: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    gamma = np.exp(strength * random.uniform(-_GAMMA, _GAMMA))
    gains = np.exp(
        strength * (random.uniform(-_BRIGHTNESS, _BRIGHTNESS) + random.uniform(-_COLOUR, _COLOUR, 3))
    )
    values = (image.astype(np.float32) / 255) ** np.float32(gamma) * gains.astype(np.float32)
    parts = np.exp(strength * _UNEVEN * random.standard_normal(_PARTS, np.float32))
    values *= cv2.resize(parts, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)[..., None]
    blur = strength * _BLUR * image.shape[0] * random.uniform(0, 1)
    if blur > 0.3:  # pixels; less changes nothing
        values = cv2.GaussianBlur(values, (0, 0), blur)
    grey = values.mean(axis=2, keepdims=True)
    values += np.float32(strength * random.uniform(0, 1)) * (grey - values)
    values *= 255
    values += (strength * _NOISE * random.uniform(0, 1)) * random.standard_normal(image.shape, np.float32)
    return values.clip(0, 255).round().astype(np.uint8)
