"""What geometric verification of an image costs, by the size of the map; what it adds is in ladder.py."""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import cv2
import numpy as np

from benchmarks._measure import print_table
from netvlad_core.data.radii import POSITIVE_WITHIN
from netvlad_core.geometry.local_features import find_features
from netvlad_core.localization.geometry.verification import Verifier
from netvlad_core.localization.observation import Observation
from netvlad_core.mapping.map_writer import write_places, writing_map
from netvlad_core.mapping.place_map import MapHeader, PlaceMap
from netvlad_core.mapping.places import Places

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
    poses = np.zeros((count, 7))
    poses[:, 0], poses[:, 6] = np.arange(count), 1.0
    images = [pictures[index % 64] for index in range(count)]
    descriptors = np.eye(1, 8, dtype=np.float32).repeat(count, axis=0)
    places = Places(descriptors, np.arange(count), poses, images=images)
    header = MapHeader(model_id="none", frame_id="map", source="random", store_images="full")
    with writing_map(folder, header) as new:
        write_places(new, places, [str(index) for index in range(count)])
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
