"""Maps and drives that the benchmarks of localization share; made once in a folder, and found there again.

The corridors have no odometry, so the index of an image serves as metres driven, for the map as for the
drive. The town is rendered: a map at noon, the same streets in the evening. The estate is a town of four
different houses, so that all its streets look alike. Other towns have other streets.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import real_sets
from netvlad_core.data.bags.source import BagSource
from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.data.frames import Frame, FrameSource
from netvlad_core.data.geometry import Pose
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.projection import STORED_DIMENSION
from netvlad_core.model.backbones import PACKAGED_NETWORK
from netvlad_core.model.checkpoints import load_checkpoint
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.spec import NetworkSpec
from netvlad_core.model.streaming import describe_frames

_TOWNS: dict[str, dict[str, int]] = {
    "town": {},
    "estate": {"designs": 4},
    "second town": {"seed": 21, "plan": 21},
    "third town": {"seed": 33, "plan": 33},
    "fourth town": {"seed": 44, "plan": 44},
}
ELSEWHERE = (8, 9, 10, 11, 12)
# Of the part that a map with a gap lacks: the middle third of a corridor, the east of the town.
_EAST = 120.0  # metres

Change = Callable[[np.ndarray], np.ndarray]


@dataclass
class Drive:
    """Images in order: (Q, D) descriptors, stamps (ns), true poses, and odometry or None for each."""

    descriptors: np.ndarray
    stamps: np.ndarray
    truth: list[Pose]
    odometry: Sequence[Pose | None]

    def __len__(self) -> int:
        return len(self.stamps)

    @property
    def positions(self) -> np.ndarray:
        """(Q, 3) metres."""
        return np.array([pose.position for pose in self.truth])

    def take(self, rows: np.ndarray) -> Drive:
        chosen = [self.truth[i] for i in rows]
        return Drive(self.descriptors[rows], self.stamps[rows], chosen, [self.odometry[i] for i in rows])

    def without_odometry(self) -> Drive:
        return replace(self, odometry=[None] * len(self))


class Part:
    """A source of which some frames are kept, and their images changed."""

    def __init__(
        self,
        source: FrameSource,
        keep: Callable[[int, Frame], bool] | None = None,
        change: Change | None = None,
    ) -> None:
        self._source, self._keep, self._change = source, keep, change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[Frame]:
        for index, frame in enumerate(self._source):
            if self._keep is None or self._keep(index, frame):
                yield frame if self._change is None else replace(frame, decode=self._changed(frame))

    def _changed(self, frame: Frame) -> Callable[[], np.ndarray]:
        change = self._change
        assert change is not None
        return lambda: change(frame.decode())


def dark(image: np.ndarray) -> np.ndarray:
    """Night: a third of the light, deeper shadows, noise."""
    noise = np.random.default_rng(image.size).normal(0, 8, image.shape)
    return np.clip((image / 255.0) ** 1.8 * 90 + noise, 0, 255).astype(np.uint8)


def blurred(image: np.ndarray) -> np.ndarray:
    """Motion: a twentieth of the width."""
    return cv2.blur(image, (2 * (image.shape[1] // 40) + 1, 1))


def rain(image: np.ndarray) -> np.ndarray:
    """Drops, streaks and haze, others in each image."""
    from town.rain import rainy

    return rainy(image, int(image.sum()))


def cropped(image: np.ndarray) -> np.ndarray:
    """Another lane: the left third is out of sight."""
    return np.ascontiguousarray(image[:, image.shape[1] * 35 // 100 :])


def tiny(image: np.ndarray) -> np.ndarray:
    """Eighty pixels."""
    return cv2.resize(image, (80, 60), interpolation=cv2.INTER_AREA)


def grey(image: np.ndarray) -> np.ndarray:
    """64x32 grey pixels."""
    small = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (64, 32), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_GRAY2RGB)


@dataclass(frozen=True)
class Workshop:
    """Where the data are and what is made of them is kept; `has_town` says whether to render."""

    data: Path
    folder: Path
    has_town: bool
    dimension: int = STORED_DIMENSION

    def names(self) -> list[str]:
        corridors = ["rtabmap_corridor", "vprbench_corridor"] if self.data.is_dir() else []
        return corridors + (["town"] if self.has_town else [])

    def sources(self, name: str) -> tuple[FrameSource, FrameSource, float]:
        """Map, drive, and the metres within which a place is correct."""
        if name in _TOWNS:
            return self.rendered(name, "noon"), self.rendered(name, "evening"), 25.0
        places, queries, within = real_sets.SETS[name](self.data)
        files = (real_sets.write_catalogue(rows, self._file(f"{name} {what}.csv")) for rows, what in
                 ((places, "map"), (queries, "drive")))  # fmt: skip
        return *(CatalogueSource.from_csv(file) for file in files), within  # type: ignore[return-value]

    def rendered(self, town: str, light: str) -> FrameSource:
        """A drive through a town at noon or in the evening, or through `elsewhere N` in the evening."""
        from town.drives import FIRST, SECOND_DRIVE, write_drive

        options: dict[str, Any]
        if town.startswith("elsewhere"):
            seed = int(town.split()[1])
            options, rate, bag = {"seed": seed, "plan": seed}, 1.5, self._file(f"plan_{seed}")
        else:
            options, rate = _TOWNS[town], 5.0
            bag = self._file(light if town == "town" else f"{town.replace(' ', '_')}_{light}")
        if not bag.is_dir():
            drive = replace(FIRST if light == "noon" else SECOND_DRIVE, light=light, **options)
            unfinished = bag.with_name(f".{bag.name}")
            write_drive(unfinished, drive, image_rate=rate, size=(320, 240), progress=True)
            unfinished.rename(bag)
        return BagSource.open(bag)

    def elsewhere(self, name: str) -> dict[str, FrameSource]:
        """Drives that the map of this name knows nothing of."""
        if name in _TOWNS:
            return {f"elsewhere {seed}": self.rendered(f"elsewhere {seed}", "evening") for seed in ELSEWHERE}
        others = ("rtabmap_corridor", "vprbench_corridor", "toshiki_loop", "ietower")
        return {other: self.sources(other)[1] for other in others if other != name}

    def place_map(
        self, name: str, clusters: int = 64, has_gap: bool = False, features: str = "none", stride: int = 1
    ) -> PlaceMap:
        """Map of a set; with a gap a part of the places is left out; the network is fitted on the rest.

        With `features` it keeps local features of that kind, and no images; with a stride every n-th place.
        """
        gap = " gap" if has_gap else ""
        kept = "" if self.dimension == STORED_DIMENSION else f" {self.dimension}"
        stored = "" if features == "none" else f" {features}"
        sparse = "" if stride == 1 else f" {stride}th"
        path = self._file(f"map {name} {clusters}{gap}{kept}{stored}{sparse} {_packaged_model()}")
        if path.is_dir():
            return PlaceMap.open(path)
        source = self.sources(name)[0]
        if has_gap:
            source = Part(source, lambda index, frame: not self._is_gap(name, len(source), index, frame))
        if stride > 1:
            stamps = set(self.place_map(name, clusters).stamps[::stride].tolist())
            source = Part(source, lambda index, frame: frame.stamp in stamps)
        is_first = has_gap and features == "none"
        weights = None if is_first else self.place_map(name, clusters, has_gap=True).network_path
        options = BuildOptions(
            store_images="full" if features == "none" else "none",
            store_features=features,
            spec=NetworkSpec.of_backbone(clusters=clusters),
            weights=weights,
            dimension=self.dimension,
        )
        return build_map(source, path, options, progress=False)

    @staticmethod
    def _is_gap(name: str, count: int, index: int, frame: Frame) -> bool:
        if name in _TOWNS:
            return frame.pose is not None and frame.pose.position[0] > _EAST
        return count // 3 <= index < 2 * count // 3

    def drive(
        self, place_map: PlaceMap, source: FrameSource, name: str, change: Change | None = None
    ) -> Drive:
        """The drive as the map's network describes it."""
        changed = f" {change.__name__}" if change else ""
        file = self._file(f"{name}{changed} {place_map.header.model_id.replace('/', '-')}.npz")
        if not file.exists():
            extractor = Extractor.load(place_map.network_path)
            frames = [f for batch in describe_frames(Part(source, change=change), extractor) for f in batch]
            described = [(f.frame, f.descriptor) for f in frames if f.descriptor is not None]
            poses = [frame.pose or Pose.identity() for frame, _ in described]
            np.savez(
                file,
                descriptors=np.stack([descriptor for _, descriptor in described]),
                stamps=np.array([frame.stamp for frame, _ in described]),
                poses=np.array([[*pose.position, *pose.quaternion] for pose in poses]),
            )
        content = np.load(file)
        truth = [Pose(row[:3], row[3:]) for row in content["poses"]]
        return Drive(content["descriptors"], content["stamps"], truth, truth)

    def _file(self, name: str) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / name


@cache
def _packaged_model() -> str:
    """Which network the maps are made with: those of an older one are not found again."""
    return load_checkpoint(PACKAGED_NETWORK).fingerprint().rpartition("@")[2]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=real_sets.DATA, help="folder of the real sets")
    parser.add_argument(
        "--work", type=Path, default=real_sets.ROOT / ".build" / "localization", metavar="FOLDER",
        help="where drives, maps and descriptors are made, or found again (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--town", action="store_true", help="with the rendered towns, some 20 minutes")
    parser.add_argument(
        "--dimension", type=int, default=STORED_DIMENSION, metavar="N",
        help="numbers that the maps keep of each place, as in `netvlad build-map` (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw the precision/recall curves")


def workshop(options: argparse.Namespace) -> Workshop:
    return Workshop(options.data.resolve(), options.work.resolve(), options.town, options.dimension)
