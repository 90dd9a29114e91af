"""What geometric verification of an image costs, by the size of the map; what it adds is in ladder.py."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import cv2
import numpy as np

from benchmarks._measure import print_table
from netvlad_core.data.radii import POSITIVE_WITHIN
from netvlad_core.localization.geometry.local_features import find_features
from netvlad_core.localization.geometry.verification import Verifier
from netvlad_core.localization.observation import Observation
from netvlad_core.mapping import place_map as layout
from netvlad_core.mapping.place_map import MapHeader, PlaceMap, describe_files

_TIMED = 40


def large_map(folder: Path, count: int) -> PlaceMap:
    """A map of so many places out of a few pictures and random descriptors, to time what looks things up."""
    random = np.random.default_rng(0)
    pictures = [
        cv2.imencode(".jpg", cv2.resize(random.integers(0, 256, (60, 80, 3), np.uint8), (320, 240)))[
            1
        ].tobytes()
        for _ in range(64)
    ]
    folder.mkdir()
    sizes = [len(pictures[index % 64]) for index in range(count)]
    with (folder / layout.IMAGES_FILE).open("wb") as file:
        for index in range(count):
            file.write(pictures[index % 64])
    poses = np.zeros((count, 7))
    poses[:, 0], poses[:, 6] = np.arange(count), 1.0
    np.save(folder / layout.IMAGE_ENDS_FILE, np.cumsum(sizes).astype(np.int64))
    np.save(folder / layout.DESCRIPTORS_FILE, np.zeros((count, 8), np.float32))
    np.save(folder / layout.STAMPS_FILE, np.arange(count, dtype=np.int64))
    np.save(folder / layout.POSES_FILE, poses)
    (folder / layout.NAMES_FILE).write_text(json.dumps([str(index) for index in range(count)]))
    header = MapHeader(
        "large", "none", 8, count, "map", "random", "", {}, None, "full", 1.0, 0.0,
        files=describe_files(folder, [path.name for path in folder.iterdir()]),
    )  # fmt: skip
    (folder / layout.HEADER_FILE).write_text(json.dumps(asdict(header)))
    return PlaceMap.open(folder)


def times(folder: Path, sizes: list[int]) -> list[list[str]]:
    """Median milliseconds for an image whose ten candidates nobody has asked for before."""
    rows = []
    for count in sizes:
        place_map = large_map(folder / str(count), count)
        verifier = Verifier(place_map)
        random = np.random.default_rng(1)
        fresh: list[float] = []
        again: list[float] = []
        for _ in range(_TIMED):
            places = random.integers(0, count, 10)
            image = place_map.image(int(places[0]))
            assert image is not None
            for spent in (fresh, again):
                started = perf_counter()
                features = find_features(image, verifier.options.features)
                observation = Observation(0, np.zeros(1, np.float32), features=features)
                verifier.see(observation, place_map.matches(places, np.ones(10)), POSITIVE_WITHIN)
                spent.append(1e3 * (perf_counter() - started))
        rows.append([str(count), f"{np.median(fresh):.0f}", f"{np.median(again):.0f}"])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--places", type=int, nargs="+", default=[1000, 10_000, 100_000])
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        rows = times(Path(folder), options.places)
    print_table(["places", "ms an image, new places", "ms, places seen before"], rows)


if __name__ == "__main__":
    main()
