"""Frames through several workers: order, broken frames, bounded memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from netvlad_core.data.frames import Frame
from netvlad_core.errors import ImageError
from netvlad_core.model.engine import allowed_threads
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.streaming import DescribedFrame, describe_frames
from support.street import street, view

FRONTS = street(seed=8, metres=60)
BATCH = 3


@pytest.fixture(scope="module")
def extractor(checkpoint: Path) -> Extractor:
    return Extractor.load(checkpoint, "cpu", batch_size=BATCH)


def image_of(index: int) -> np.ndarray:
    image = view(FRONTS, 3 * index)
    return image[:96] if index % 2 else image


def frame_of(index: int, decode: Callable[[], np.ndarray] | None = None) -> Frame:
    return Frame(str(index), index, None, decode or (lambda: image_of(index)))


def run(frames: list[Frame], extractor: Extractor) -> list[DescribedFrame]:
    return [described for batch in describe_frames(frames, extractor, np.shape) for described in batch]


def test_every_frame_comes_back_with_its_own_descriptor(extractor: Extractor) -> None:
    results = run([frame_of(index) for index in range(8)], extractor)
    assert [result.frame.name for result in results] == list("01234567")
    for index, result in enumerate(results):
        assert result.image is not None
        np.testing.assert_array_equal(result.image, image_of(index))
        assert result.seen == image_of(index).shape
        np.testing.assert_allclose(result.descriptor, extractor(image_of(index))[0], atol=1e-4)


def test_batches_are_full_but_the_last(extractor: Extractor) -> None:
    frames = [frame_of(index) for index in range(8)]
    assert [len(batch) for batch in describe_frames(frames, extractor)] == [3, 3, 2]


def test_no_frames_give_nothing(extractor: Extractor) -> None:
    assert run([], extractor) == []


def broken() -> np.ndarray:
    raise ImageError("the picture is cut off")


@pytest.mark.parametrize(
    ("decode", "reason"),
    [(broken, "image that cannot be read"), (lambda: np.zeros((8, 8, 3), np.uint8), "image too small")],
)
def test_frame_that_cannot_be_used_keeps_its_place(
    decode: Callable[[], np.ndarray], reason: str, extractor: Extractor, caplog: pytest.LogCaptureFixture
) -> None:
    frames = [frame_of(0), frame_of(1, decode), frame_of(2), frame_of(3, decode), frame_of(4, decode)]
    results = run(frames, extractor)
    assert [result.descriptor is not None for result in results] == [True, False, True, False, False]
    assert results[1].image is None
    assert results[1].error == reason
    assert len(caplog.records) == 1  # one for all of a kind, with the sentence
    np.testing.assert_allclose(results[2].descriptor, extractor(image_of(2))[0], atol=1e-4)


def test_programming_mistakes_are_not_swallowed(extractor: Extractor) -> None:
    def mistake() -> np.ndarray:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run([frame_of(0, mistake)], extractor)


def test_two_batches_for_each_worker_are_read_ahead(extractor: Extractor) -> None:
    asked = 0

    def frames() -> Iterator[Frame]:
        nonlocal asked
        for index in range(30):
            asked += 1
            yield frame_of(index % 10)

    workers = min(allowed_threads(), 4)
    for done, _ in enumerate(describe_frames(frames(), extractor)):
        assert asked <= min(30, (done + 2 * workers) * BATCH)
    assert asked == 30


def test_decoding_goes_on_while_the_caller_is_busy(extractor: Extractor) -> None:
    decoded = [threading.Event() for _ in range(3 * BATCH)]

    def decode(index: int) -> np.ndarray:
        decoded[index].set()
        return image_of(index)

    stream = describe_frames([frame_of(i, lambda i=i: decode(i)) for i in range(3 * BATCH)], extractor)
    next(stream)
    assert decoded[2 * BATCH - 1].wait(timeout=30), "the second batch waits for the caller to ask for it"


def test_source_is_read_in_the_thread_of_the_caller(extractor: Extractor) -> None:
    threads = set()

    def frames() -> Iterator[Frame]:
        for index in range(5):
            threads.add(threading.current_thread())
            yield frame_of(index)

    list(describe_frames(frames(), extractor))
    assert threads == {threading.current_thread()}


def test_stopping_early_leaves_no_threads(extractor: Extractor) -> None:
    stream = describe_frames([frame_of(index) for index in range(9)], extractor)
    next(stream)
    assert any(thread.name.startswith("describe") for thread in threading.enumerate())
    stream.close()  # type: ignore[attr-defined]
    assert not any(thread.name.startswith("describe") for thread in threading.enumerate())


def test_threads_of_torch_are_as_before(extractor: Extractor) -> None:
    before = torch.get_num_threads()
    stream = describe_frames([frame_of(index) for index in range(9)], extractor)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert torch.get_num_threads() == before
