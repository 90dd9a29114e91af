"""Do covariances mean what they say? Normalised estimation error squared (NEES) of poses, drive by drive.

Each drive is followed in a map by the sequence filter with odometry, once with the poses of the matches and
once refined by geometry, where the map has a calibration. NEES is that of the error along the heading, across
it, and of yaw: 1 on average where the variance is right, less where it is too wide. Images that follow each
other err together, so the means and their 95 % bounds take one pose each 10 m; the other columns take all.
In the town (`--town FOLDER`) the first 200 images are the map, and every fourth of another drive 2 m beside
it is looked for. Corridors have no poses: an image is a metre, and only the place along it can be wrong.
The last rows are metric poses of single images of the town, those of benchmarks/one_image.py and of its
evening.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.stats import chi2

from benchmarks import one_image, real_sets
from benchmarks._measure import print_table
from benchmarks.scenes import Change, Part, Workshop, blurred, cropped, dark
from netvlad_core.data.bags.source import BagSource
from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.data.frames import FrameSource
from netvlad_core.data.geometry import Pose
from netvlad_core.localization.geometry.verification_options import VerificationOptions
from netvlad_core.localization.localizer import Localizer, localize_frames
from netvlad_core.localization.localizer_options import LocalizerOptions
from netvlad_core.localization.pose_prior import PosePrior
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.keyframes import KEEP_ALL, KeyframeRule

_THINNED = 10.0  # metres
_STEP = 10  # of the evening's images for single ones, some 18 metres


@dataclass(frozen=True, eq=False)
class Trial:
    """A drive to be found in a map of another; `role` says whether the floors were chosen on it."""

    name: str
    role: str
    own: FrameSource
    drive: FrameSource
    rule: KeyframeRule = KEEP_ALL


def nees(prior: PosePrior, truth: Pose) -> list[float]:
    """Along the true heading, across it, and of yaw."""
    turn = (prior.pose.rotation * truth.rotation.inv()).as_rotvec()
    error = np.concatenate([prior.pose.position - truth.position, turn])
    cos, sin = np.cos(truth.yaw), np.sin(truth.yaw)
    axes = np.array([[cos, sin, 0, 0, 0, 0], [-sin, cos, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1]])
    return [float((axis @ error) ** 2 / (axis @ prior.covariance @ axis)) for axis in axes]


def row(trial: Trial, method: str, posed: list[tuple[PosePrior, Pose]]) -> list[str]:
    if not posed:
        return [trial.name, trial.role, method, "0", *"-" * 8]
    offsets = np.array([prior.pose.position - truth.position for prior, truth in posed])
    inside = [prior.holds(truth.position[:2]) for prior, truth in posed]
    thinned: list[list[float]] = []
    last: Pose | None = None
    for prior, truth in posed:
        if last is None or np.linalg.norm(truth.position - last.position) >= _THINNED:
            thinned.append(nees(prior, truth))
            last = truth
    count = len(thinned)
    low, high = chi2.ppf([0.025, 0.975], count) / count
    sigma = np.median([np.sqrt(np.trace(prior.covariance[:2, :2]) / 2) for prior, _ in posed])
    return [
        trial.name, trial.role, method, str(len(posed)),
        f"{np.median(np.linalg.norm(offsets, axis=1)):.2f}", f"{sigma:.2f}", str(count),
        *(f"{mean:.2f}" for mean in np.mean(thinned, axis=0)), f"{low:.2f} to {high:.2f}",
        f"{100 * np.mean(inside):.1f}",
    ]  # fmt: skip


def measure(trial: Trial, folder: Path) -> list[list[str]]:
    options = BuildOptions(store_images="full", keyframes=trial.rule)
    place_map = build_map(trial.own, folder, options, progress=False)
    localizer = Localizer.open(place_map.path)
    rows = []
    for method, verification in (("matches", None), ("geometry", VerificationOptions())):
        if verification is not None and place_map.camera is None:
            continue
        localizer = localizer.with_options(replace(localizer.options, verification=verification))
        localizer.forget()
        answers = localize_frames(localizer, trial.drive, trial.drive.skipped)
        posed = [(a.prior, f.pose) for f, a in answers if a.prior is not None and f.pose is not None]
        rows.append(row(trial, method, posed))
    return rows


def _every(
    source: FrameSource, step: int, start: int = 0, most: int | None = None, change: Change | None = None
) -> FrameSource:
    """Of the first `most` frames each so many."""
    return Part(source, lambda index, _: index % step == start and (most is None or index < most), change)


def real_trials(data: Path, folder: Path) -> Iterator[Trial]:
    toshiki = BagSource.open(data / "bags" / "toshiki_loop_mcap")
    yield Trial("toshiki, even and odd", "chosen", _every(toshiki, 2), _every(toshiki, 2, start=1))
    tum = BagSource.open(data / "bags" / "tum_fr1_rpy_sqlite3")
    yield Trial("tum_fr1_rpy, even and odd", "held out", _every(tum, 2), _every(tum, 2, start=1))
    for read in (real_sets.rtabmap_corridor, real_sets.vprbench_corridor):
        name = read.__name__
        own, drive = (
            CatalogueSource.from_csv(real_sets.write_catalogue(rows, folder / f"{name} {what}.csv"))
            for rows, what in zip(read(data)[:2], ("places", "queries"))
        )
        yield Trial(name, "held out", own, drive)


def town_trials(town: Path) -> Iterator[Trial]:
    for name, role, first, second, change in (
        ("town", "chosen", "noon", "evening", None),
        ("town, dark", "held out", "noon", "evening", dark),
        ("town, blurred", "held out", "noon", "evening", blurred),
        ("town, cropped", "held out", "noon", "evening", cropped),
        ("estate", "held out", "estate_noon", "estate_evening", None),
    ):
        if (town / second).is_dir():
            own, drive = (BagSource.open(town / bag) for bag in (first, second))
            looked_for = _every(drive, 4, most=240, change=change)
            yield Trial(name, role, _every(own, 1, most=200), looked_for, KeyframeRule())


def single_images(data: Path, town: Path, seeds: int) -> Iterator[list[str]]:
    """Metric poses of images by themselves, in a map with local features."""
    shop = Workshop(data, town, has_town=True)
    options = LocalizerOptions(verification=VerificationOptions())
    localizer = Localizer.open(shop.place_map("town", features="xfeat").path, options=options)
    evening = _every(shop.rendered("town", "evening"), _STEP)
    drives = {
        "evening": ((frame.decode(), frame.pose) for frame in evening),
        "night": (image for seed in range(seeds) for image in one_image.drive(town, "night", seed)),
        "rain": (image for seed in range(seeds) for image in one_image.drive(town, "rain", seed)),
    }
    for light, images in drives.items():
        priors = ((localizer.locate(localizer.observe(image, 0)).prior, truth) for image, truth in images)
        posed = [(p, truth) for p, truth in priors if p and truth and one_image.is_metric(p)]
        yield row(Trial(f"town, {light}, one image", "chosen", evening, evening), "geometry", posed)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=real_sets.DATA, help="folder of the real sets")
    parser.add_argument("--town", type=Path, metavar="FOLDER", help="bags noon, evening, estate_noon, ...")
    parser.add_argument("--seeds", type=int, default=20, help="of single images (default: %(default)s)")
    options = parser.parse_args()
    rows: list[list[str]] = []
    with TemporaryDirectory() as temporary:
        trials = list(real_trials(options.data, Path(temporary))) if options.data.is_dir() else []
        trials += town_trials(options.town) if options.town else []
        for number, trial in enumerate(trials):
            rows += measure(trial, Path(temporary) / str(number))
    if options.town:
        rows += single_images(options.data, options.town, options.seeds)
    header = ["drive", "floors", "poses from", "poses", "median error m", "median sigma m", "thinned"]
    header += ["NEES along", "across", "yaw", "95 % bounds of each", "inside the 95 % ellipse %"]
    print_table(header, rows)


if __name__ == "__main__":
    main()
