"""Frames in, descriptors out, in order: several workers decode and describe, in bounded memory."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from netvlad_core.data.frames import Frame
from netvlad_core.errors import ImageError
from netvlad_core.model.engine import allowed_threads
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.preprocessing import check_image

_log = logging.getLogger(__name__)

# Each holds the activations of one batch, hundreds of megabytes with a large network.
_MOST_WORKERS = 4


@dataclass(frozen=True)
class DescribedFrame:
    """A frame after decoding and the network.

    Attributes
    ----------
    image, descriptor : uint8 RGB (H, W, 3) and (D,) float32; both None if the image could not be used.
    seen : what `look` has made of the image, see `describe_frames`.
    error, detail : `kind` of the ImageError then, and its sentence.
    """

    frame: Frame
    image: np.ndarray | None = None
    descriptor: np.ndarray | None = None
    seen: Any = None
    error: str | None = None
    detail: str | None = None


def describe_frames(
    frames: Iterable[Frame], extractor: Extractor, look: Callable[[np.ndarray], Any] | None = None
) -> Iterator[list[DescribedFrame]]:
    """Decode and describe frames in order, a batch at a time.

    Each worker takes a batch through decoder and network, with its share of the threads: a small network runs
    at nearly twice the speed of one image on two cores, whose threads would wait for each other at every
    layer. Twice as many batches as workers are in memory, and one with the caller. Broken images come back
    with the kind of their error; the first of each kind is a warning in the log.

    Parameters
    ----------
    look : called with each usable image by the workers, for what else is to be made of it.
    """
    told: set[str] = set()
    workers = min(allowed_threads(), _MOST_WORKERS)
    waiting: deque[Future[list[DescribedFrame]]] = deque()
    with (
        extractor.engine.serving(workers) as join,
        ThreadPoolExecutor(workers, "describe", initializer=join) as pool,
    ):
        remaining = iter(frames)
        try:
            while True:
                while len(waiting) < 2 * workers and (batch := list(islice(remaining, extractor.batch_size))):
                    waiting.append(pool.submit(_describe, batch, extractor, told, look))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _describe(
    batch: list[Frame], extractor: Extractor, told: set[str], look: Callable[[np.ndarray], Any] | None
) -> list[DescribedFrame]:
    decoded = [_decode(frame) for frame in batch]
    images = [content for content in decoded if isinstance(content, np.ndarray)]
    rows = iter(extractor(images)) if images else iter(())
    described = []
    for frame, content in zip(batch, decoded, strict=True):
        if isinstance(content, np.ndarray):
            described.append(DescribedFrame(frame, content, next(rows), look and look(content)))
            continue
        if content.kind not in told:
            told.add(content.kind)
            _log.warning("%s left out: %s", frame.name, content)
        described.append(DescribedFrame(frame, error=content.kind, detail=str(content)))
    return described


def _decode(frame: Frame) -> np.ndarray | ImageError:
    try:
        image = frame.decode()
        check_image(image)  # here, or one odd picture would fail the whole batch
        return image
    except ImageError as error:
        return error
