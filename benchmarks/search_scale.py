"""Search in a million places: recall against exact search, time, memory, and time to build and to add.

Places are drawn around real descriptors: mixtures of two places of the drives found in --work (made by
`benchmarks.ladder --town`), with noise that has their spread, in 512 numbers as maps of format 2 have them.
Queries are places with as much noise again. The second table follows a robot with the sequence filter.
"""

from __future__ import annotations

import os
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np

from benchmarks import real_sets
from benchmarks._measure import parser, print_table
from benchmarks.filter_speed import winding_street
from netvlad_core.data.geometry import Pose
from netvlad_core.localization.tracking.sequence_filter import SequenceFilter
from netvlad_core.mapping.projection import principal_directions
from netvlad_core.search import open_index, store_index

_DIMENSION, _BLOCK, _QUERIES, _WANTED = 512, 50_000, 200, 1000


def real_descriptors(work: Path) -> np.ndarray:
    """(N, 512) float32 of the largest family of drives that one network has described."""
    families: dict[str, list[Path]] = {}
    for path in work.glob("*@*.npz"):
        families.setdefault(path.stem.rpartition("@")[2], []).append(path)
    if not families:
        raise SystemExit(f"no described drives in {work}: run `python -m benchmarks.ladder --town` first")
    largest = max(families.values(), key=len)
    whole = np.concatenate([np.load(path)["descriptors"] for path in largest])
    return whole @ principal_directions(whole, _DIMENSION).T


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def write_places(path: Path, count: int, real: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Places (count, 512) float16 in a file, memory-mapped."""
    rows = np.lib.format.open_memmap(path, "w+", np.float16, (count, real.shape[1]))
    for start in range(0, count, _BLOCK):
        size = min(_BLOCK, count - start)
        one, other = real[rng.integers(len(real), size=(2, size))]
        share = rng.uniform(0, 0.5, (size, 1)).astype(np.float32)
        noise = 0.5 * real.std(axis=0) * rng.standard_normal((size, real.shape[1]), np.float32)
        rows[start : start + size] = unit((1 - share) * one + share * other + noise)
    rows.flush()
    del rows
    return np.load(path, mmap_mode="r")


def best_of_all(places: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Row of the most similar place of each query, by every product."""
    best, rows = np.full(len(queries), -np.inf), np.zeros(len(queries), int)
    for start in range(0, len(places), _BLOCK):
        products = queries @ np.asarray(places[start : start + _BLOCK], np.float32).T
        found, here = products.max(axis=1), products.argmax(axis=1)
        rows = np.where(found > best, here + start, rows)
        best = np.maximum(best, found)
    return rows


def measure(count: int, real: np.ndarray, folder: Path) -> list[str]:
    rng = np.random.default_rng(0)
    places = write_places(folder / "places.npy", count, real, rng)
    chosen = np.sort(rng.choice(count, _QUERIES, replace=False))
    noise = 0.5 * real.std(axis=0) * rng.standard_normal((_QUERIES, real.shape[1]), np.float32)
    queries = unit(np.asarray(places[chosen], np.float32) + noise).astype(np.float32)
    expected = best_of_all(places, queries)
    started = perf_counter()
    has_cells = store_index(places, folder / "index.faiss")
    built = perf_counter() - started
    size = os.path.getsize(folder / "index.faiss") / 1e6 if has_cells else 0
    with get_context("spawn").Pool(1) as pool:  # whose memory is that of the search alone
        figures = pool.apply(search, (folder, has_cells, queries, expected))
    return [f"{count:,}", *figures[:3], f"{built:.0f}", f"{size:.0f}", *figures[3:]]


def search(folder: Path, has_cells: bool, queries: np.ndarray, expected: np.ndarray) -> list[str]:
    places = np.load(folder / "places.npy", mmap_mode="r")
    before = resident_megabytes()
    started = perf_counter()
    index = open_index(places, device="cpu", stored=folder / "index.faiss" if has_cells else None)
    opened = perf_counter() - started
    times, right = [], 0
    for query, row in zip(queries, expected):
        started = perf_counter()
        _, found = index.search(query[None], _WANTED)
        times.append(perf_counter() - started)
        right += int(found[0, 0] == row)
    used = resident_megabytes() - before
    started = perf_counter()
    for query in queries:
        index.add(query[None])
    added = (perf_counter() - started) / len(queries)
    return [
        f"{100 * right / _QUERIES:.1f}", f"{1e3 * np.median(times):.1f}",
        f"{1e3 * np.percentile(times, 95):.1f}", f"{opened:.2f}", f"{1e3 * added:.2f}",
        f"{before:.0f} + {used:.0f}",
    ]  # fmt: skip


def resident_megabytes() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def follow(count: int, real: np.ndarray, folder: Path) -> list[str]:
    """Median milliseconds of search and filter together, on a robot that drives along."""
    places = np.load(folder / "places.npy", mmap_mode="r")
    index = open_index(places, device="cpu", stored=folder / "index.faiss")
    poses = winding_street(count)
    sequence, times = SequenceFilter(poses), []
    for step in range(40):
        place = count // 2 + step
        query = np.asarray(places[place], np.float32)[None]
        started = perf_counter()
        similarities, rows = index.search(query, _WANTED)
        typical = (float(similarities.mean()), float(similarities.std()))
        sequence.update(
            rows[0], similarities[0], typical, step * 10**9, Pose(poses[place, :3], poses[place, 3:])
        )
        times.append(perf_counter() - started)
    return [f"{count:,}", f"{1e3 * np.median(times[:10]):.1f}", f"{1e3 * np.median(times[10:]):.1f}"]


def main() -> None:
    arguments = parser(__doc__)
    default = real_sets.ROOT / ".build" / "localization"
    arguments.add_argument("--work", type=Path, default=default, help="folder of described drives")
    arguments.add_argument("--places", type=int, nargs="+", default=[50_000, 1_000_000], metavar="N")
    options = arguments.parse_args()
    real = real_descriptors(options.work)
    rows, followed = [], []
    for count in options.places:
        with TemporaryDirectory() as folder:
            rows.append(measure(count, real, Path(folder)))
            print(*rows[-1], flush=True)
            followed.append(follow(count, real, Path(folder)))
    print()
    header = [
        "places",
        "R@1 of exact %",
        "ms",
        "95 % ms",
        "to build s",
        "file MB",
        "to open s",
        "to add ms",
        "resident MB",
    ]
    print_table(header, rows)
    print()
    print_table(["places", "search and filter ms, cold start", "followed"], followed)


if __name__ == "__main__":
    main()
