"""What a place takes on disk, and what recall is left: formats and dimensions on the real sets and the town.

Format 1 is float32 with all numbers of the network, format 2 float16 with at most --dimensions numbers. Bytes
are those of the descriptors and, shared among the places, of the directions. At the end a map of 100 000
places is opened and searched in a process of its own; memory is what that adds to the imports.

example:
  python -m benchmarks.map_format --town
"""

from __future__ import annotations

import argparse
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np

from benchmarks import real_sets, scenes
from benchmarks._measure import parser, print_table
from benchmarks.filter_speed import winding_street
from netvlad_core.data.frames import Frame
from netvlad_core.data.images import read_image
from netvlad_core.evaluation.recall import recall_by_position
from netvlad_core.mapping.map_header import DESCRIPTORS_FILE, DIRECTIONS_FILE, MapHeader
from netvlad_core.mapping.map_writer import write_descriptors, write_places, writing_map
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.places import Places
from netvlad_core.model.backbones import PACKAGED_NETWORK
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.streaming import describe_frames
from netvlad_core.search import open_index

_RECALL_AT = (1, 5, 10)
_LARGE, _WIDTH = 100_000, 512

Described = tuple[np.ndarray, np.ndarray]  # descriptors (N, D), positions (N, 2)
Stored = tuple[np.ndarray, np.ndarray | None, float]  # rows (N, P), directions (P, D), bytes a place


def described(source: list[Frame], extractor: Extractor) -> Described:
    """Descriptors (N, D) and positions (N, 2) of the frames with a pose."""
    whole = [frame for batch in describe_frames(source, extractor) for frame in batch]
    kept = [frame for frame in whole if frame.descriptor is not None and frame.frame.pose is not None]
    positions = [frame.frame.pose.position[:2] for frame in kept if frame.frame.pose is not None]
    return np.stack([frame.descriptor for frame in kept if frame.descriptor is not None]), np.array(positions)


def of_rows(rows: real_sets.Rows, extractor: Extractor) -> Described:
    frames = [Frame(str(path), 0, None, partial(read_image, path)) for path, *_ in rows]
    whole = [frame.descriptor for batch in describe_frames(frames, extractor) for frame in batch]
    return np.stack([row for row in whole if row is not None]), np.array([[x, y] for _, x, y, _ in rows])


def stored(
    descriptors: np.ndarray, dimension: int, folder: Path
) -> tuple[np.ndarray, np.ndarray | None, float]:
    """What a map of format 2 gives back of descriptors: rows, directions, and bytes a place."""
    folder.mkdir()
    write_descriptors(descriptors, folder, dimension)
    files = [path for name in (DESCRIPTORS_FILE, DIRECTIONS_FILE) if (path := folder / name).is_file()]
    size = sum(path.stat().st_size for path in files)
    directions = np.load(files[1]).astype(np.float32) if len(files) > 1 else None
    return np.load(files[0]).astype(np.float32), directions, size / len(descriptors)


def rows_of(
    name: str, places: tuple, queries: tuple, radius: float, dimensions: list[int]
) -> list[list[str]]:
    (described_places, positions), (described_queries, truth) = places, queries
    count, width = described_places.shape
    forms: dict[str, Stored] = {f"format 1, {width}": (described_places, None, 4.0 * width)}
    with TemporaryDirectory() as folder:
        for dimension in (0, *(value for value in dimensions if value < min(count, width))):
            reduced = stored(described_places, dimension, Path(folder, str(dimension)))
            forms[f"format 2, {reduced[0].shape[1]}"] = reduced
    rows = []
    for form, (kept, directions, size) in forms.items():
        seen = described_queries if directions is None else described_queries @ directions.T
        order = np.argsort(-seen @ kept.T, axis=1)
        recall = recall_by_position(order, positions, truth, radius).at(_RECALL_AT)
        shares = [f"{100 * share:.1f}" for share in recall.values()]
        rows.append([f"{name}, {count} places", form, f"{size:.0f}", *shares])
    return rows


def write_large(path: Path) -> None:
    """A map of places along a street, with descriptors that fill its dimensions."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((_LARGE, _WIDTH), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    header = MapHeader(
        model_id="none@0", frame_id="map", source="a benchmark", preprocessing={}, weights="none"
    )
    places = Places(rows, np.arange(_LARGE) * 10**9, winding_street(_LARGE), None)
    with writing_map(path, header) as new:
        write_places(new, places, [str(number) for number in range(_LARGE)])


def open_large(path: Path) -> tuple[float, float]:
    """Seconds to open a map and to have it searched, and resident megabytes that this adds."""
    open_index(np.zeros((1, _WIDTH), np.float32))  # imports FAISS
    before = _resident()
    started = perf_counter()
    opened = PlaceMap.open(path)
    index = open_index(opened.descriptors, stored=opened.index_path)
    query = np.asarray(opened.descriptors[:1], np.float32)
    assert index.search(query, 1000)[1][0, 0] == 0
    return perf_counter() - started, _resident() - before


def _resident() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def main() -> None:
    arguments = parser(__doc__)
    scenes.add_arguments(arguments)
    arguments.add_argument("--dimensions", type=int, nargs="+", default=[512, 256, 128, 64], metavar="N")
    arguments.set_defaults(dimension=_WIDTH)
    options: argparse.Namespace = arguments.parse_args()
    extractor = Extractor.load(PACKAGED_NETWORK, "cpu")
    rows = []
    if options.data.is_dir():
        for name, read in real_sets.SETS.items():
            places, queries, radius = read(options.data.resolve())
            rows += rows_of(
                name, of_rows(places, extractor), of_rows(queries, extractor), radius, options.dimensions
            )
    if options.town:
        noon, evening, radius = scenes.workshop(options).sources("town")
        seen = (described(list(noon), extractor), described(list(evening), extractor))
        rows += rows_of("town", *seen, radius, options.dimensions)
    print_table(["set", "numbers", "bytes a place", *(f"R@{n}" for n in _RECALL_AT)], rows)
    with TemporaryDirectory() as folder:
        write_large(Path(folder, "map"))
        with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            measured = [pool.apply(open_large, (Path(folder, "map"),)) for _ in range(3)]
    seconds, megabytes = np.median(measured, axis=0)
    print(
        f"\n{_LARGE} places of {_WIDTH} numbers: opened and searched in {seconds:.2f} s, "
        f"memory {megabytes:.0f} MB"
    )


if __name__ == "__main__":
    main()
