"""Loop closures while driving, by appearance and with verification: how many, how right, what they cost.

Each drive runs through the loop closer with drifting odometry, as in examples/slam_backend; every keyframe
may close (no spacing). A revisit is a keyframe within 10 m and 60 degrees of an older one, by the rules of
time and way; a closure is right where its two moments are within 10 m. Towns that are driven one after the
other share no place. The corridor has no odometry: its laps become a ring, 5 m an image. "toshiki, two laps"
are the even images of that loop and then the odd ones.
"""

from __future__ import annotations

import argparse
import tracemalloc
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks import real_sets
from benchmarks._measure import print_table
from netvlad_core.data.bags.source import BagSource
from netvlad_core.data.camera import Camera
from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.data.geometry import Pose, rotation_between
from netvlad_core.data.radii import POSITIVE_WITHIN
from netvlad_core.evaluation.precision_recall import precision_recall
from netvlad_core.geometry.features import KINDS, usual_kind
from netvlad_core.localization.loops.live_drive import drive_observer
from netvlad_core.localization.loops.loop_closure import LoopCloser, LoopClosure
from netvlad_core.localization.loops.loop_options import VERIFICATION, LoopClosureOptions
from netvlad_core.localization.observation import Observer
from netvlad_core.localization.pose_prior import PoseEstimate
from netvlad_core.mapping.keyframes import KeyframeRule, select_keyframes
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.fitting import fit_network
from town.drift import Drift

_FACING = np.radians(60.0)
_OTHER_TOWNS = ("town_8", "town_9")
_APART = 1e5  # metres from one town to the next
_LAP, _STEP = 40, 5.0  # images of a lap of the corridor, and the metres that one stands for


@dataclass(frozen=True, eq=False)
class Drive:
    """Keyframes of one drive or several; stamps grow, poses of different scenes lie far apart."""

    name: str
    images: list[np.ndarray]
    stamps: list[int]
    poses: list[Pose]
    camera: Camera | None

    def in_order(self, name: str, rows: Iterable[int]) -> Drive:
        chosen = list(rows)
        stamps = [10**18 + 3 * 10**9 * step for step in range(len(chosen))]
        return Drive(
            name, [self.images[r] for r in chosen], stamps, [self.poses[r] for r in chosen], self.camera
        )


def join(name: str, bags: Iterable[BagSource], most: int | None = None, apart: float = 0.0) -> Drive:
    """Drive the first keyframes of several bags one after the other."""
    images: list[np.ndarray] = []
    stamps: list[int] = []
    poses: list[Pose] = []
    cameras = []
    for number, bag in enumerate(bags):
        shift, offset = Pose.from_xyz_yaw(number * apart, 0.0), None
        for frame in islice(select_keyframes(bag, KeyframeRule()), most):
            assert frame.pose is not None
            if offset is None:
                offset = (stamps[-1] + 10**9 if stamps else 10**18) - frame.stamp
            images.append(frame.decode())
            stamps.append(frame.stamp + offset)
            poses.append(shift @ frame.pose)
        cameras.append(bag.camera)
    return Drive(name, images, stamps, poses, cameras[0])


def revisits(drive: Drive, options: LoopClosureOptions) -> np.ndarray:
    """(N,) bool: whether an older keyframe is at the same place and faces the same way."""
    positions = np.array([pose.position for pose in drive.poses])
    quaternions = np.array([pose.quaternion for pose in drive.poses])
    ways = np.append(0, np.cumsum(np.linalg.norm(np.diff(positions, axis=0), axis=1)))
    stamps = np.array(drive.stamps)
    found = []
    for row in range(len(stamps)):
        old = (stamps <= stamps[row] - options.min_time * 1e9) & (ways <= ways[row] - options.min_way)
        near = np.linalg.norm(positions - positions[row], axis=1) <= POSITIVE_WITHIN
        found.append((old & near & (rotation_between(quaternions, quaternions[row]) <= _FACING)).any())
    return np.array(found)


def run(
    drive: Drive,
    descriptors: np.ndarray,
    odometry: list[Pose],
    observe: Observer,
    options: LoopClosureOptions,
) -> tuple:
    """Closures by row of the later keyframe, and seconds for each keyframe."""
    closer = LoopCloser(options)
    closures: dict[int, LoopClosure] = {}
    spent = []
    for row, stamp in enumerate(drive.stamps):
        started = perf_counter()
        image = drive.images[row]
        observation = observe(image, stamp, odometry[row], drive.camera, descriptor=descriptors[row])
        closure = closer.add(observation, image)
        spent.append(perf_counter() - started)
        if closure is not None:
            closures[row] = closure
    return closures, np.array(spent)


def evaluate(
    drive: Drive, descriptors: np.ndarray, seeds: int, observe: Observer, options: LoopClosureOptions
) -> list[str]:
    rows_of = {stamp: row for row, stamp in enumerate(drive.stamps)}
    is_revisit = revisits(drive, options)
    given = wrong = found = metric = 0
    best, errors, inside, spent = [], [], [], []
    for seed in range(seeds):
        odometry = Drift(seed=seed).odometry(drive.poses)
        closures, seconds = run(drive, descriptors, odometry, observe, options)
        spent.append(1e3 * np.median(seconds))
        scores = np.full(len(drive.stamps), -np.inf)
        right = np.zeros(len(drive.stamps), bool)
        for row, closure in closures.items():
            true = drive.poses[rows_of[closure.from_stamp]].inverse() @ drive.poses[row]
            scores[row] = closure.inliers + closure.similarity
            right[row] = np.linalg.norm(true.position) <= POSITIVE_WITHIN
            error = (closure.relative.position - true.position)[:2]
            errors.append(float(np.linalg.norm(error)))
            estimate = PoseEstimate(closure.relative, closure.covariance)
            inside.append(estimate.holds(true.position[:2]))
            metric += closure.inliers > 0
        given += len(closures)
        wrong += len(closures) - int(right.sum())
        found += int((right & is_revisit).sum())
        best.append(precision_recall(scores, right, is_revisit).recall_at(1.0))
    shown = [f"{np.median(errors):.2f}", f"{100 * np.mean(inside):.0f}"] if errors else ["-", "-"]
    recall = f"{100 * found / (seeds * is_revisit.sum()):.1f}" if is_revisit.any() else "-"
    at_full = f"{100 * np.mean(best):.1f}" if is_revisit.any() else "-"
    return [
        str(len(drive.stamps)), str(int(is_revisit.sum())), f"{given / seeds:.1f}", f"{wrong / seeds:.1f}",
        recall, at_full, f"{metric / seeds:.1f}", *shown, f"{np.median(spent):.0f}",
    ]  # fmt: skip


def memory(
    drive: Drive, descriptors: np.ndarray, most: int, observe: Observer, options: LoopClosureOptions
) -> list[str]:
    """Megabytes that the loop closer holds, and milliseconds, while a drive is repeated without end."""
    rows = []
    tracemalloc.start()
    closer, count = LoopCloser(replace(options, most_keyframes=most)), len(drive.stamps)
    lap = drive.stamps[-1] - drive.stamps[0] + 10**9
    spent: list[float] = []
    for number in range(3 * most):
        row, laps = number % count, number // count
        pose = Pose.from_xyz_yaw(1000.0 * laps, 0) @ drive.poses[row]  # else it would close all the time
        started = perf_counter()
        stamp, image = drive.stamps[row] + laps * lap, drive.images[row]
        closer.add(observe(image, stamp, pose, descriptor=descriptors[row]), image)
        spent.append(perf_counter() - started)
        if number + 1 in (most // 2, most, 2 * most, 3 * most):
            held = tracemalloc.get_traced_memory()[0] / 2**20
            rows.append(f"{number + 1}: {len(closer)} kept, {held:.0f} MB, {1e3 * np.median(spent):.0f} ms")
            spent.clear()
    tracemalloc.stop()
    return rows


def drives(data: Path, town: Path | None, most: int | None) -> Iterable[Drive]:
    if data.is_dir():
        loop = join("toshiki", [BagSource.open(data / "bags" / "toshiki_loop_mcap")])
        yield loop
        count = len(loop.stamps)
        yield loop.in_order("toshiki, two laps", [*range(0, count, 2), *range(1, count, 2)])
        yield corridor(data / "rtabmap_corridor")
    if town is not None:
        noon, evening, *others = (BagSource.open(town / name) for name in ("noon", "evening", *_OTHER_TOWNS))
        yield join("town, noon and evening", [noon, evening], most)
        yield join("towns one after the other", [noon, *others], most, _APART)


def corridor(folder: Path) -> Drive:
    """Two laps and a little more of 40 images each, on a ring."""
    pictures = [frame.decode() for frame in CatalogueSource.from_folder(folder / "images")]
    turns = 2 * np.pi * np.arange(len(pictures)) / _LAP
    radius = _LAP * _STEP / (2 * np.pi)
    poses = [Pose.from_xyz_yaw(radius * np.cos(a), radius * np.sin(a), yaw=a + np.pi / 2) for a in turns]
    stamps = [10**18 + 10**9 * row for row in range(len(pictures))]
    return Drive("rtabmap_corridor", pictures, stamps, poses, None)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=real_sets.DATA, help="folder of the real sets")
    parser.add_argument("--town", type=Path, metavar="FOLDER", help="bags noon, evening, town_8, ...")
    parser.add_argument("--seeds", type=int, default=3, help="of the drift (default: %(default)s)")
    parser.add_argument("--keyframes", type=int, help="of each bag of the town; all by default")
    text = "kind of the local features (default: %(default)s)"
    parser.add_argument("--features", choices=KINDS, default=usual_kind(), help=text)
    options = parser.parse_args()
    look = replace(LoopClosureOptions(), spacing=0.0)
    ways = {"by appearance": look, "with verification": replace(look, verification=VERIFICATION)}
    rows = []
    for drive in drives(options.data, options.town, options.keyframes):
        extractor = Extractor.of(fit_network(partial(iter, drive.images), device="cpu"))
        descriptors = np.concatenate([extractor(image) for image in drive.images])
        for name, closing in ways.items():
            observe = drive_observer(extractor, closing.verification, options.features)
            figures = evaluate(drive, descriptors, options.seeds, observe, closing)
            rows.append([drive.name, name, *figures])
    header = ["drive", "closures", "keyframes", "revisits", "given", "wrong", "recall %"]
    more = ["recall % at 100 % precision", "by geometry", "median error m", "inside the 95 % ellipse %", "ms"]
    print_table([*header, *more], rows)
    print()
    for name, closing in ways.items():
        observe = drive_observer(extractor, closing.verification, options.features)
        print(name, *memory(drive, descriptors, 400, observe, closing), sep="\n  ")


if __name__ == "__main__":
    main()
