"""Frames in, descriptors out: decoding runs ahead in threads, memory stays bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np

from netvlad_core.data.frames import Frame
from netvlad_core.errors import ImageError
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.preprocessing import check_image

_DECODING_THREADS = 2


@dataclass(frozen=True)
class DescribedFrame:
    """A frame after decoding and the network.

    Attributes
    ----------
    frame : as it came from its source.
    image : uint8 RGB (H, W, 3), or None where it could not be decoded.
    descriptor : (D,) float32, or None.
    error : why there is none.
    """

    frame: Frame
    image: np.ndarray | None = None
    descriptor: np.ndarray | None = None
    error: str | None = None


def describe_frames(frames: Iterable[Frame], extractor: Extractor) -> Iterator[list[DescribedFrame]]:
    """Decode and describe frames in order, a batch at a time.

    No more than three batches of images, and a few, are in memory. Broken images come back with their error.
    """
    with ThreadPoolExecutor(_DECODING_THREADS, thread_name_prefix="decode") as pool:
        decoded = _decode_ahead(iter(frames), pool, ahead=2 * max(_DECODING_THREADS, extractor.batch_size))
        while batch := list(islice(decoded, extractor.batch_size)):
            yield _describe(batch, extractor)


def _decode_ahead(
    frames: Iterator[Frame], pool: ThreadPoolExecutor, ahead: int
) -> Iterator[tuple[Frame, np.ndarray | ImageError]]:
    waiting: deque[tuple[Frame, Future[np.ndarray | ImageError]]] = deque()
    try:
        while True:
            for frame in islice(frames, ahead - len(waiting)):
                waiting.append((frame, pool.submit(_decode, frame)))
            if not waiting:
                return
            frame, future = waiting.popleft()
            yield frame, future.result()
    finally:
        for _, future in waiting:
            future.cancel()


def _decode(frame: Frame) -> np.ndarray | ImageError:
    try:
        image = frame.decode()
        check_image(image)  # here, or one odd picture would fail the whole batch
        return image
    except ImageError as error:
        return error


def _describe(
    batch: list[tuple[Frame, np.ndarray | ImageError]], extractor: Extractor
) -> list[DescribedFrame]:
    images = [content for _, content in batch if isinstance(content, np.ndarray)]
    rows = iter(extractor(images)) if images else iter(())
    return [
        DescribedFrame(frame, content, next(rows))
        if isinstance(content, np.ndarray)
        else DescribedFrame(frame, error=str(content))
        for frame, content in batch
    ]
