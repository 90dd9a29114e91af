"""Memory and speed of build-map on a drive and on one twenty times as long, against the network alone.

All cores decode and describe, so the network's own rate is out of reach where decoding takes their time, too:
"decoding and network" does just these two with the workers of build-map. Speed is that of the frames beyond a
first batch, so that what is paid once (opening the bag, loading the network) does not count against the short
drive; it is printed beside. Each case runs in a process of its own.

example:
  python -m benchmarks.build_map_scaling --frames 64
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TypeVar

import cv2
import numpy as np

from benchmarks._measure import parser, peak_megabytes, print_conditions, print_table
from netvlad_core.data.frames import Frame
from netvlad_core.data.images import decode_picture, encode_jpeg
from netvlad_core.data.sources import open_source
from netvlad_core.machine import keep_freed_memory
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.model.backbones import PACKAGED_NETWORK
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.streaming import describe_frames
from town.bag import DriveBag

_FIRST = 8
_LONGER = 20

Result = TypeVar("Result")


def write_drive(path: Path, images: list[np.ndarray], count: int) -> None:
    """Write a bag of JPEG images, a metre and 0.2 s apart, the same ones again and again."""
    still, upright = np.zeros(3), np.array((0.0, 0.0, 0.0, 1.0))
    pinhole = np.array([(500.0, 0.0, 320.0), (0.0, 500.0, 240.0), (0.0, 0.0, 1.0)])
    with DriveBag(path, compressed=True) as bag:
        bag.mount(10**18, still, upright)
        for index in range(count):
            stamp = 10**18 + index * 200_000_000
            bag.image(stamp, images[index % len(images)], pinhole)
            bag.odometry(stamp, np.array((float(index), 0.0, 0.0)), upright, still, still)


def measure_build(bag: Path, output: Path) -> tuple[float, float]:
    """Seconds from opening the bag to the finished map, and peak memory in MB of the process."""
    started = monotonic()
    options = BuildOptions(weights=PACKAGED_NETWORK, device="cpu")
    build_map(open_source(bag), output, options, progress=False)
    return monotonic() - started, peak_megabytes()


def measure_network(images: list[np.ndarray], repeats: int, is_encoded: bool) -> float:
    """Images a second of the network with the workers of build-map, on decoded images or on JPEG."""
    extractor = Extractor.load(PACKAGED_NETWORK, "cpu")
    made = [
        partial(decode_picture, encode_jpeg(image)) if is_encoded else partial(np.copy, image)
        for image in images
    ]
    frames = [Frame(str(index), index, None, decode) for index, decode in enumerate(made)]
    deque(describe_frames(frames[:_FIRST], extractor), maxlen=0)
    started = monotonic()
    deque(describe_frames(repeats * frames, extractor), maxlen=0)
    return repeats * len(images) / (monotonic() - started)


def measure_loop(images: list[np.ndarray]) -> float:
    """Images a second of the extractor called with one image after the other."""
    extractor = Extractor.load(PACKAGED_NETWORK, "cpu")
    extractor(images[:_FIRST])
    started = monotonic()
    for image in images:
        extractor(image)
    return len(images) / (monotonic() - started)


def in_own_process(function: Callable[..., Result], *arguments: object) -> Result:
    with ProcessPoolExecutor(1, get_context("spawn"), keep_freed_memory) as pool:
        return pool.submit(function, *arguments).result()


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument(
        "--frames", type=int, default=128, help="of the short drive (default: %(default)s)"
    )
    frames = arguments.parse_args().frames
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (frames, 30, 40, 3), np.uint8)
    images = [cv2.resize(image, (640, 480), interpolation=cv2.INTER_CUBIC) for image in coarse]
    print_conditions()
    with TemporaryDirectory() as text:
        folder = Path(text)
        seconds, memory = {}, {}
        for count in (_FIRST, frames, _LONGER * frames):
            write_drive(folder / f"drive_{count}", images, count)
            seconds[count], memory[count] = in_own_process(
                measure_build, folder / f"drive_{count}", folder / f"map_{count}"
            )
        alone = in_own_process(measure_network, images, _LONGER, False)
        decoding = in_own_process(measure_network, images, _LONGER, True)
        loop = in_own_process(measure_loop, images)
    once = seconds.pop(_FIRST)
    rates = {count: (count - _FIRST) / (taken - once) for count, taken in seconds.items()}
    print_table(
        ["640x480, JPEG", "frames/s", "of the network alone", "peak MB"],
        [
            *(
                [f"build-map, {count} frames", f"{rate:.1f}", f"{rate / alone:.2f}", f"{memory[count]:.0f}"]
                for count, rate in rates.items()
            ),
            ["decoding and network, same workers", f"{decoding:.1f}", f"{decoding / alone:.2f}", ""],
            ["network alone, same workers", f"{alone:.1f}", "1.00", ""],
            ["network alone, image by image", f"{loop:.1f}", f"{loop / alone:.2f}", ""],
        ],
    )
    long = _LONGER * frames
    print(
        f"\n{_LONGER} times the drive: {memory[long] / memory[frames]:.2f} times the memory, "
        f"{rates[long] / rates[frames]:.2f} times the speed; {once:.1f} s for the first {_FIRST} frames"
    )


if __name__ == "__main__":
    main()
