"""Time of the sequence filter per image, by the size of the map.

Places a metre apart along a street that winds through a square; the robot drives along it. A cold start has
the belief everywhere; following has it around one place. The product of the image with all places is timed
beside it, for descriptors of 512 dimensions. All of it is time of the processor, not of the clock.
"""

from __future__ import annotations

from time import process_time

import numpy as np

from benchmarks._measure import parser, print_table
from netvlad_core.data.geometry import Pose
from netvlad_core.localization.tracking.sequence_filter import SequenceFilter
from netvlad_core.search import open_index

_CANDIDATES = 1000
_DIMENSION = 512
_START, _FOLLOWED = 10, 60


def winding_street(count: int) -> np.ndarray:
    """Poses (N, 7) along rows of 300 m, 30 m apart, in turn to the east and to the west."""
    row, along = np.divmod(np.arange(count), 300)
    east = row % 2 == 0
    poses = np.zeros((count, 7))
    poses[:, 0], poses[:, 1] = np.where(east, along, 299 - along), 30 * row
    poses[:, 5], poses[:, 6] = np.where(east, 0.0, 1.0), np.where(east, 1.0, 0.0)
    return poses


def follow(sequence: SequenceFilter, poses: np.ndarray, has_odometry: bool) -> list[str]:
    """Median milliseconds of an image after a cold start, and of one while the robot is followed."""
    rng = np.random.default_rng(0)
    sequence.forget()
    count, times = len(poses), []
    for step in range(_FOLLOWED):
        place = count // 2 + step
        similarities = rng.normal(0.0, 1.0, count)
        similarities[place - 2 : place + 3] += 4
        best = np.argpartition(-similarities, min(_CANDIDATES, count) - 1)[:_CANDIDATES]
        typical = (float(similarities.mean()), float(similarities.std()))
        odometry = Pose(poses[place, :3], poses[place, 3:]) if has_odometry else None
        started = process_time()
        sequence.update(best, similarities[best], typical, step * 10**9, odometry)
        times.append(process_time() - started)
    return [f"{1e3 * np.median(part):.1f}" for part in (times[1:_START], times[_START:])]


def search(count: int) -> str:
    """Median milliseconds in which the best places are found."""
    rng = np.random.default_rng(0)
    index = open_index(rng.normal(size=(count, _DIMENSION)).astype(np.float32), device="cpu")
    query = rng.normal(size=(1, _DIMENSION)).astype(np.float32)
    times = []
    for _ in range(5):
        started = process_time()
        index.search(query, _CANDIDATES)
        times.append(process_time() - started)
    return f"{1e3 * np.median(times):.1f}"


def measure(count: int) -> list[str]:
    poses = winding_street(count)
    started = process_time()
    sequence = SequenceFilter(poses)
    opening = process_time() - started
    with_odometry, without = (follow(sequence, poses, has_odometry) for has_odometry in (True, False))
    return [f"{count}", f"{opening:.2f}", *with_odometry, *without, search(count)]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--places", type=int, nargs="+", default=[1000, 10_000, 100_000])
    options = arguments.parse_args()
    header = ["places", "opening, s", "cold start, ms", "following, ms", "cold, no odometry", "following"]
    header += [f"search, {_DIMENSION} d, ms"]
    print_table(header, [measure(count) for count in options.places])


if __name__ == "__main__":
    main()
