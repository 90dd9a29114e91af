"""What a user gets: how many images are answered, how far off the poses are, and how long that takes.

For each drive and light a map with local features and no images, and four ways to answer: each image by
itself, with verification; the sequence filter; both; both where a third of the images are verified, as by a
node that has no time for all. With `--drift` odometry is not exact: it is 5 % too long and turns by 10
degrees in 100 m. A pose is wrong if it is of another place: farther from the truth than 10 m
(`POSITIVE_WITHIN`), or 10 images in the corridors, whose metres are images; for images of another town none
is right. Each wrong pose is listed. Mean, 99 % and worst are those of all poses of mapped images.

The seconds to the first pose are those of the drive, the median over starts spread along it (one start if the
drive is short). The time of an image is that of network, local features and answer on this machine; run the
program alone if it is to count.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from benchmarks import scenes
from benchmarks._measure import print_table
from benchmarks.scenes import Change, Workshop, add_arguments, workshop
from netvlad_core.data.frames import Frame
from netvlad_core.data.geometry import Pose
from netvlad_core.data.radii import POSITIVE_WITHIN
from netvlad_core.localization.answer import Localization
from netvlad_core.localization.geometry.verification_options import VerificationOptions
from netvlad_core.localization.localizer import Localizer
from netvlad_core.localization.observation import Observation

_WAYS = ("one image", "filter", "both", "both, a third verified")
_DRIFT, _DRIFT_TURN = 0.05, np.radians(0.1)  # share of the way, and per metre
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


_REAL = [
    Case(name, change=change)
    for name in ("toshiki_loop", "rtabmap_corridor", "vprbench_corridor")
    for change in (None, scenes.dark, scenes.blurred)
]
_TOWN = [
    *(Case("town", light) for light in ("evening", "night")),
    Case("town", elsewhere="elsewhere 8"),
    *(Case("town", light) for light in ("dusk", "winter")),
    Case("town", "overcast", scenes.rain),
    *(Case("town", "evening", change) for change in (scenes.dark, scenes.blurred)),
]


@dataclass(frozen=True, eq=False)
class Seen:
    """An image of a drive, observed once for all ways, and the seconds of each stage."""

    frame: Frame
    observation: Observation
    seconds: dict[str, float]

    @classmethod
    def of(cls, localizer: Localizer, frame: Frame) -> Seen:
        seconds: dict[str, float] = defaultdict(float)

        @contextmanager
        def timed(stage: str) -> Iterator[None]:
            started = perf_counter()
            yield
            seconds[stage] += perf_counter() - started

        observation = localizer.observe(frame.decode(), frame.stamp, frame.pose, timed=timed)
        return cls(frame, observation, seconds)


def drifting(poses: Iterable[Pose | None]) -> Iterator[Pose | None]:
    """Odometry of a drive that is too long and turns."""
    odometry, before = Pose.identity(), None
    for pose in poses:
        if pose is not None and before is not None:
            moved = before.inverse() @ pose
            turned = Pose.from_xyz_yaw(0.0, 0.0, yaw=_DRIFT_TURN * float(np.linalg.norm(moved.position)))
            odometry = odometry @ Pose((1 + _DRIFT) * moved.position, moved.quaternion) @ turned
        before = pose or before
        yield odometry if pose is not None else None


def answered(localizer: Localizer, drive: list[Seen], way: str) -> Iterator[tuple[Localization, float]]:
    """Answers to the images of a drive, each with its seconds."""
    verification = None if way == "filter" else VerificationOptions()
    localizer = localizer.with_options(replace(localizer.options, verification=verification))
    localizer.forget()
    for number, seen in enumerate(drive):
        started = perf_counter()
        judge = localizer.locate if way == "one image" else localizer.track
        is_verified = way != "filter" and (way != "both, a third verified" or number % 3 == 0)
        answer = judge(seen.observation if is_verified else replace(seen.observation, features=None))
        spent = {**seen.seconds, "answer": perf_counter() - started}
        yield answer, sum(s for stage, s in spent.items() if is_verified or stage != "local features")


def first_pose(localizer: Localizer, drive: list[Seen], way: str) -> float:
    """Seconds of driving until a pose, infinite if there is none."""
    for seen, (answer, _) in zip(drive, answered(localizer, drive, way)):
        if answer.prior is not None:
            return (seen.frame.stamp - drive[0].frame.stamp) / 1e9
    return np.inf


def rows_of(
    localizer: Localizer, case: Case, drive: list[Seen], way: str
) -> tuple[list[str], list[list[str]]]:
    """Row of the table, and a row for each wrong pose."""
    results = list(answered(localizer, drive, way))
    places = np.asarray(localizer.place_map.poses[:, :3])
    truth = np.array([s.frame.pose.position if s.frame.pose else np.full(3, np.nan) for s in drive])
    away = np.linalg.norm(places[None] - truth[:, None], axis=2).min(axis=1)
    is_mapped = (away <= POSITIVE_WITHIN) & (not case.elsewhere)
    priors = [answer.prior for answer, _ in results]
    has_pose = np.array([prior is not None for prior in priors])
    errors = np.array([
        np.nan if prior is None else np.linalg.norm(prior.pose.position - position)
        for prior, position in zip(priors, truth)
    ])  # fmt: skip
    is_wrong = has_pose & ((errors > POSITIVE_WITHIN) | (not is_mapped.any()))
    share = (
        f"{100 * (has_pose & ~is_wrong).sum() / is_mapped.sum():.1f}" if is_mapped.any() else "none mapped"
    )
    known = errors[has_pose & is_mapped]
    metres = (
        [f"{value:.2f}" for value in (known.mean(), np.quantile(known, 0.99), known.max())]
        if len(known)
        else ["-"] * 3
    )
    starts = range(0, len(drive), len(drive) // _STARTS) if len(drive) >= _LONG else [0]
    first = float(np.median([first_pose(localizer, drive[start:], way) for start in starts]))
    table = [
        case.title, str(len(places)), str(len(drive)), way, share, str(int(is_wrong.sum())), *metres,
        f"{first:.1f}" if np.isfinite(first) else "never",
        f"{1e3 * np.median([seconds for _, seconds in results]):.0f}",
    ]  # fmt: skip
    return table, [
        _mistake(case, way, drive[row].frame, results[row][0], errors[row])
        for row in np.flatnonzero(is_wrong)
    ]


def _mistake(case: Case, way: str, frame: Frame, answer: Localization, error: float) -> list[str]:
    named = {match.place: match for match in answer.matches}
    best = named.get(answer.place, answer.matches[0])
    return [
        case.title, way, frame.name, "-" if case.elsewhere else f"{error:.2f}", str(answer.place),
        f"{answer.confidence:.2f}", f"{best.similarity:.2f}", str(best.inliers),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    text = "kind of local features in the maps (default: %(default)s)"
    parser.add_argument("--features", default="xfeat", help=text)
    parser.add_argument("--sets", nargs="+", help="(default: all)")
    parser.add_argument("--lights", nargs="+", help="of the town (default: all)")
    parser.add_argument("--drift", action="store_true", help="of odometry")
    options = parser.parse_args()
    shop = workshop(options)
    cases = (_REAL if shop.data.is_dir() else []) + (_TOWN if shop.has_town else [])
    rows, mistakes = [], []
    for case in cases:
        is_chosen = options.lights is None or (case.light in options.lights and case.change is None)
        if not is_chosen or (options.sets is not None and case.name not in options.sets):
            continue
        localizer = Localizer.open(shop.place_map(case.name, features=options.features).path)
        always = replace(localizer.options, verification=VerificationOptions())
        localizer = localizer.with_options(always)
        drive = [Seen.of(localizer, frame) for frame in case.frames(shop)]
        if options.drift:
            drifted = drifting(seen.frame.pose for seen in drive)
            drive = [
                replace(seen, observation=replace(seen.observation, odometry=odometry))
                for seen, odometry in zip(drive, drifted)
            ]
        for way in _WAYS:
            row, wrong = rows_of(localizer, case, drive, way)
            rows.append(row)
            mistakes += wrong
            print(*row, sep="  ", file=sys.stderr, flush=True)  # the table comes last
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}\n")
    header = ["drive", "places", "images", "by", "answered %", "wrong poses", "mean m", "99 % m", "worst m"]
    print_table([*header, "first pose s", "ms an image"], rows)
    print("\nwrong poses\n")
    print_table(["drive", "by", "image", "off m", "place", "confidence", "similarity", "inliers"], mistakes)


if __name__ == "__main__":
    main()
