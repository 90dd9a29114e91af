"""What geometric verification of an image costs, by the size of the map; what it adds is in ladder.py.

The map is made of the noon drive that the package carries for `demo-map`, its places repeated, enlarged to
320x240, with local features of a kind or, with "images", the pictures alone. Each image of the evening drive
is compared with ten places that nobody has asked for before, its own among them, and then with the same ones.
There is no calibration, so no pose is measured. The network is not in the times.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from zipfile import ZipFile

import cv2
import numpy as np

from benchmarks._measure import print_conditions, print_table
from netvlad_core.commands.demo_map import DRIVES
from netvlad_core.data.images import decode_picture, encode_jpeg
from netvlad_core.data.radii import POSITIVE_WITHIN
from netvlad_core.geometry.features import KINDS, usual_kind
from netvlad_core.geometry.local_features import find_features
from netvlad_core.geometry.packing import PackedFeatures, StoredFeatures
from netvlad_core.localization.geometry.verification import Verifier
from netvlad_core.localization.observation import Observation
from netvlad_core.mapping.map_writer import write_places, writing_map
from netvlad_core.mapping.place_map import MapHeader, PlaceMap
from netvlad_core.mapping.places import Places


def pictures(drive: str) -> list[bytes]:
    """JPEG files of a drive that the package carries, 320x240."""
    with ZipFile(DRIVES) as archive:
        names = sorted(name for name in archive.namelist() if name.startswith(drive) and "." in name)
        images = [decode_picture(archive.read(name)) for name in names if not name.endswith(".csv")]
    return [encode_jpeg(cv2.resize(image, (320, 240))) for image in images]


def large_map(folder: Path, count: int, kind: str) -> PlaceMap:
    """A map of so many places out of the pictures of a drive, a metre apart."""
    files = pictures("noon")
    poses = np.zeros((count, 7))
    poses[:, 0], poses[:, 6] = np.arange(count), 1.0
    descriptors = np.eye(1, 8, dtype=np.float32).repeat(count, axis=0)
    places = Places(descriptors, np.arange(count), poses)
    if kind == "images":
        places.images = [files[index % len(files)] for index in range(count)]
    else:
        found = [find_features(decode_picture(file), KINDS[kind].stored, kind) for file in files]
        rows = [
            PackedFeatures(features, np.zeros((len(features), 3), np.float32)).pack() for features in found
        ]
        places.features = StoredFeatures(kind, [rows[index % len(rows)] for index in range(count)])
    stored = "none" if places.images is None else "full"
    header = MapHeader(model_id="none", frame_id="map", source="a drive again and again", store_images=stored)
    with writing_map(folder, header) as new:
        write_places(new, places, [str(index) for index in range(count)])
    return PlaceMap.open(folder)


def times(place_map: PlaceMap) -> list[str]:
    """Median milliseconds for an image: its local features, ten new places, the same places again."""
    verifier = Verifier(place_map)
    most, kind = verifier.looked_for
    random, spent = np.random.default_rng(1), ([], [], [])  # type: ignore[var-annotated]
    for number, file in enumerate(pictures("evening")):
        image = decode_picture(file)
        places = np.unique([number, *random.integers(0, len(place_map), 9)])
        matches = place_map.matches(places, np.ones(len(places)))
        started = perf_counter()
        features = find_features(image, most, kind)
        spent[0].append(perf_counter() - started)
        observation = Observation(0, np.zeros(1, np.float32), features=features)
        for stage in spent[1:]:
            started = perf_counter()
            verifier.see(observation, matches, POSITIVE_WITHIN)
            stage.append(perf_counter() - started)
    return [f"{1e3 * np.median(stage):.0f}" for stage in spent]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--places", type=int, nargs="+", default=[1000, 10_000])
    kinds = ("images", *KINDS)
    text = "what the map keeps (default: %(default)s)"
    parser.add_argument("--kinds", choices=kinds, nargs="+", default=["images", usual_kind()], help=text)
    options = parser.parse_args()
    rows = []
    print_conditions()
    with TemporaryDirectory() as folder:
        for kind in options.kinds:
            for count in options.places:
                place_map = large_map(Path(folder) / f"{kind} {count}", count, kind)
                size = sum(stated["bytes"] for stated in place_map.header.files.values()) / count
                rows.append([kind, str(count), f"{size / 1e3:.0f}", *times(place_map)])
    header = ["the map keeps", "places", "kB a place", "ms to find local features"]
    print_table([*header, "to compare, new places", "places seen before"], rows)


if __name__ == "__main__":
    main()
