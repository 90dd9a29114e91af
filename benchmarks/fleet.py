"""A store of a fleet: time and bytes to push and pull a map, time to find an image among all places.

Maps of made-up places are pushed one after the other into a store in a temporary folder, each with a site
of its own: 512 numbers a place, spread around 256 centres. Queries are places with noise; "same best"
compares with every product.

    python -m benchmarks.fleet --places 200000
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks._measure import parser, print_conditions, print_table
from netvlad_core.fleet.exchange import pull, push
from netvlad_core.fleet.finding import Finder
from netvlad_core.fleet.store import FleetStore
from netvlad_core.mapping.map_header import MapHeader
from netvlad_core.mapping.map_writer import write_descriptors, write_places, writing_map
from netvlad_core.mapping.places import Places

_DIMENSION, _PER_MAP, _CENTRES = 512, 2000, 256


def made_map(folder: Path, descriptors: np.ndarray) -> Path:
    count = len(descriptors)
    poses = np.zeros((count, 7))
    poses[:, 0], poses[:, 6] = np.arange(count), 1.0
    header = MapHeader(
        model_id="made@1", dimension=_DIMENSION, frame_id="map", source="benchmark", weights="/none"
    )
    with writing_map(folder, header) as new:
        write_descriptors(descriptors, new, 0)
        write_places(new, Places(descriptors[:0], np.arange(count), poses), [str(n) for n in range(count)])
    return folder


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def find_all(store: FleetStore, queries: np.ndarray, best: np.ndarray) -> list[str]:
    """Median and 95 % time of a query, and the share that found the place that every product says."""
    started = time.perf_counter()
    finder = Finder(store, "made@1", _DIMENSION)
    opened = time.perf_counter() - started
    times, right = [], 0
    for query, row in zip(queries, best, strict=True):
        started = time.perf_counter()
        found = finder.find(query)[0]
        times.append(time.perf_counter() - started)
        right += (int(found.site[4:]), found.place) == divmod(int(row), _PER_MAP)
    shown = [1e3 * float(np.median(times)), 1e3 * float(np.percentile(times, 95))]
    return [f"{opened:.2f}", *(f"{value:.1f}" for value in shown), f"{100 * right / len(best):.0f}"]


def megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--places", type=int, default=200_000, metavar="N")
    arguments.add_argument("--queries", type=int, default=100, metavar="N")
    options = arguments.parse_args()
    print_conditions()
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((_CENTRES, _DIMENSION))
    with TemporaryDirectory() as folder:
        work = Path(folder)
        store = FleetStore(str(work / "store"), makes=True)
        blocks, pushes = [], []
        for number in range(options.places // _PER_MAP):
            chosen = centres[rng.integers(_CENTRES, size=_PER_MAP)]
            blocks.append(unit(chosen + rng.standard_normal((_PER_MAP, _DIMENSION))).astype(np.float16))
            path = made_map(work / f"map{number}", blocks[-1].astype(np.float32))
            started = time.perf_counter()
            push(store, path, f"site{number}", progress=False)
            pushes.append(time.perf_counter() - started)
        places = np.concatenate(blocks)
        queries = unit(
            places[rng.integers(len(places), size=options.queries)].astype(np.float32)
            + 0.03 * rng.standard_normal((options.queries, _DIMENSION))
        )
        best = np.array([int((places.astype(np.float32) @ query).argmax()) for query in queries])
        size = megabytes(work / "store")
        print(
            f"push of {_PER_MAP} places: first {pushes[0]:.2f} s, last {np.median(pushes[-10:]):.2f} s; "
            f"maps {megabytes(work) - size:.0f} MB, store {size:.0f} MB",
            flush=True,
        )
        rows = [["as pushed", *find_all(store, queries[:10], best[:10])]]
        started = time.perf_counter()
        store.tables.tidy()
        tidied = time.perf_counter() - started
        rows.append(["tidied, with an index", *find_all(FleetStore(store.location), queries, best)])
        started = time.perf_counter()
        pull(store, "site0", work / "pulled", progress=False)
        pulled = time.perf_counter() - started
        print(f"tidy {tidied:.0f} s; pull {pulled:.2f} s; store {megabytes(work / 'store'):.0f} MB\n")
        print_table([f"{len(places):,} places", "to open s", "find ms", "95 % ms", "same best %"], rows)


if __name__ == "__main__":
    main()
