"""What a user gets: how many images are answered, how far off the poses are, and how long that takes.

For each drive and light a map with local features and no images, and three ways to answer: each image by
itself, with verification; the sequence filter; both. A pose is wrong if it is farther from the truth than the
radius of the set, 25 m in the town. Mean, 99 % and worst are those of all poses, wrong ones included.

The seconds to the first pose are those of the drive, the median over starts spread along it (one start if the
drive is short). The time of an image is that of network, local features and answer on this machine; run the
program alone if it is to count. Images of another town count as wrong if they get a pose.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from benchmarks import scenes
from benchmarks._measure import print_table
from benchmarks.scenes import Change, Workshop, add_arguments, workshop
from netvlad_core.data.frames import Frame
from netvlad_core.evaluation.recall import within
from netvlad_core.localization.geometry.verification import VerificationOptions
from netvlad_core.localization.localizer import Localization, Localizer

_WAYS = ("one image", "filter", "both")
_STARTS = 5  # into a drive
_LONG = 100  # images from which a drive has several starts
_STEP = 4  # of the rendered images, some five metres


@dataclass(frozen=True)
class Case:
    """A map and a drive, which may be one of elsewhere or in another light."""

    name: str
    light: str = ""
    change: Change | None = None
    elsewhere: str = ""

    @property
    def title(self) -> str:
        parts = (self.name, self.elsewhere or self.light, self.change.__name__ if self.change else "")
        return ", ".join(filter(None, parts))

    def frames(self, shop: Workshop) -> list[Frame]:
        source = shop.sources(self.name)[1]
        if self.elsewhere:
            source = shop.elsewhere(self.name)[self.elsewhere]
        elif self.light:
            source = shop.rendered(self.name, self.light)
        if self.change is not None:
            source = scenes.Part(source, change=self.change)
        return list(source)[:: _STEP if self.light else 1]


_REAL = [Case(name) for name in ("toshiki_loop", "rtabmap_corridor", "vprbench_corridor")]
_TOWN = [
    *(Case("town", light) for light in ("evening", "night")),
    Case("town", elsewhere="elsewhere 8"),
    *(Case("town", light) for light in ("dusk", "winter")),
    Case("town", "evening", scenes.blurred),
]


def answered(localizer: Localizer, frames: list[Frame], way: str) -> Iterator[tuple[Localization, float]]:
    """Answers to the images of a drive, each with its seconds."""
    verification = None if way == "filter" else VerificationOptions()
    localizer = localizer.with_options(replace(localizer.options, verification=verification))
    localizer.forget()
    for frame in frames:
        image = frame.decode()
        started = perf_counter()
        observation = localizer.observe(image, frame.stamp, frame.pose)
        answer = localizer.locate(observation) if way == "one image" else localizer.track(observation)
        yield answer, perf_counter() - started


def first_pose(localizer: Localizer, frames: list[Frame], way: str) -> float:
    """Seconds of driving until a pose, infinite if there is none."""
    for frame, (answer, _) in zip(frames, answered(localizer, frames, way)):
        if answer.prior is not None:
            return (frame.stamp - frames[0].stamp) / 1e9
    return np.inf


def row(shop: Workshop, localizer: Localizer, case: Case, way: str) -> list[str]:
    frames = case.frames(shop)
    results = list(answered(localizer, frames, way))
    radius = shop.sources(case.name)[2]
    positions = np.array([frame.pose.position if frame.pose else np.full(3, np.nan) for frame in frames])
    places = np.asarray(localizer.place_map.poses[:, :3])
    everything = np.arange(len(places))[None].repeat(len(frames), axis=0)
    is_mapped = within(everything, places, positions, radius).any(axis=1) & (not case.elsewhere)
    errors = np.array([
        np.linalg.norm(answer.prior.pose.position - position)
        for (answer, _), position in zip(results, positions) if answer.prior is not None
    ])  # fmt: skip
    is_wrong = np.full(len(errors), True) if case.elsewhere else errors > radius
    right = int((~is_wrong).sum())
    starts = range(0, len(frames), len(frames) // _STARTS) if len(frames) >= _LONG else [0]
    firsts = [first_pose(localizer, frames[start:], way) for start in starts]
    share = f"{100 * right / is_mapped.sum():.1f}" if is_mapped.any() else "none is mapped"
    metres = ["-"] * 3
    if right:
        metres = [f"{value:.2f}" for value in (errors.mean(), np.quantile(errors, 0.99), errors.max())]
    first = float(np.median(firsts))
    return [
        case.title, str(len(localizer.place_map)), str(len(frames)), way, share, str(int(is_wrong.sum())),
        *metres, f"{first:.1f}" if np.isfinite(first) else "never",
        f"{1e3 * np.median([seconds for _, seconds in results]):.0f}",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    text = "kind of local features in the maps (default: %(default)s)"
    parser.add_argument("--features", default="xfeat", help=text)
    parser.add_argument("--sets", nargs="+", help="(default: all)")
    options = parser.parse_args()
    shop = workshop(options)
    cases = (_REAL if shop.data.is_dir() else []) + (_TOWN if shop.has_town else [])
    rows = []
    for case in cases:
        if options.sets is not None and case.name not in options.sets:
            continue
        localizer = Localizer.open(shop.place_map(case.name, features=options.features).path)
        for way in _WAYS:
            rows.append(row(shop, localizer, case, way))
            print(*rows[-1], sep="  ", file=sys.stderr, flush=True)  # the table comes last
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}\n")
    header = ["drive", "places", "images", "by", "answered %", "wrong poses", "mean m", "99 % m", "worst m"]
    print_table([*header, "first pose s", "ms an image"], rows)


if __name__ == "__main__":
    main()
