"""One image alone, by night and in rain: how many get a metric pose, and how far off it is.

The map of the rendered town was made at noon. Each seed is a drive through the same streets with other parked
cars, in another lane, with another sway and camera noise; its images are some 25 m apart, at night, or under
clouds in rain (town/rain.py). Each is localized by itself. A pose is metric if its standard deviation is
below a metre; wrong is farther than 25 m from the truth. Towns that the map knows nothing of show what is
answered off the map: drives in the evening, as they are and in rain.

The images are kept in the folder of `--work`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from benchmarks._measure import print_table
from benchmarks.scenes import ELSEWHERE, Workshop, add_arguments, workshop
from netvlad_core.data.camera import Camera
from netvlad_core.data.geometry import Pose
from netvlad_core.localization.geometry.verification_options import VerificationOptions
from netvlad_core.localization.localizer import Localizer
from netvlad_core.localization.localizer_options import LocalizerOptions
from netvlad_core.localization.pose_prior import PosePrior

_APART = 25.0  # metres between two images of a drive
_NOISE = 2.0  # grey levels
_WRONG = 25.0  # metres
_STEP = 4  # of the images of other towns
_LIGHTS = {"night": "night", "rain": "overcast"}
HEADER = [
    "images of", "number", "metric %", "mean m", "99 % m", "worst m", "below 0.5 m %", "answered %", "wrong",
    "ms an image",
]  # fmt: skip

if TYPE_CHECKING:
    from town.town import Town

Images = Iterator[tuple[np.ndarray, Pose | None]]


def drive(folder: Path, weather: str, seed: int) -> Images:
    """Images of a drive through the town, rendered once."""
    file = folder / f"one image {weather} {seed}.npz"
    if not file.exists():
        images, poses = _rendered(_LIGHTS[weather], seed)
        np.savez_compressed(file, images=images, poses=poses)
    content = np.load(file)
    for number, (image, row) in enumerate(zip(content["images"], content["poses"])):
        yield weathered(image, weather, [seed, number]), Pose(row[:3], row[3:])


def _rendered(light: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    from town.renderer import Renderer

    town, positions, quaternions = drive_of(light, seed)
    renderer = Renderer(town, light, 320, 240)
    images = [renderer.render(*eye(*pose)) for pose in zip(positions, quaternions)]
    renderer.close()
    return np.stack(images), np.hstack([positions, quaternions])


def drive_of(light: str, seed: int, plan: int = 0) -> tuple[Town, np.ndarray, np.ndarray]:
    """The town with the parked cars of a seed, and the poses (N, 3) and (N, 4) from which it is seen.

    Parameters
    ----------
    plan : of another town; 0 is the town of the map.
    """
    from town.drives import SECOND_DRIVE
    from town.motion import Manner, Motion
    from town.town import make_town

    random = np.random.default_rng([seed, len(light)])
    town = make_town(plan or SECOND_DRIVE.seed, 100 + seed, plan=plan)
    manner = Manner(lane_offset=random.uniform(-2.25, 0.75), wobble=0.2, sway=random.uniform(0.004, 0.012))
    motion = Motion(town.route, manner, random.uniform(0, _APART), town.route.length, random)
    positions, quaternions = motion.pose(np.arange(0.0, motion.duration, 0.05))
    rows = spaced(positions, _APART)
    return town, positions[rows], quaternions[rows]


def spaced(positions: np.ndarray, apart: float) -> np.ndarray:
    """Rows (M,) of positions (N, 3) at every `apart` metres along the drive."""
    driven = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(positions, axis=0), axis=1))])
    return np.searchsorted(driven, np.arange(0.0, driven[-1], apart))


def eye(position: np.ndarray, quaternion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the camera of a robot at a pose is, and how it is turned."""
    from town.drives import CAMERA_POSITION, CAMERA_ROTATION

    base = Rotation.from_quat(quaternion)
    return position + base.apply(CAMERA_POSITION), (base * CAMERA_ROTATION).as_quat()


def weathered(image: np.ndarray, weather: str, seed: list[int]) -> np.ndarray:
    from town.rain import rainy

    if weather == "rain":
        image = rainy(image, seed[0] * 1000 + seed[1])
    noise = np.random.default_rng(seed).normal(0, _NOISE, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def elsewhere(shop: Workshop, seed: int, weather: str) -> Images:
    for number, frame in enumerate(list(shop.rendered(f"elsewhere {seed}", "evening"))[::_STEP]):
        yield weathered(frame.decode(), weather, [seed, number]), None


def is_metric(prior: PosePrior) -> bool:
    """Whether the standard deviation of a pose is below a metre."""
    return bool(np.trace(prior.covariance[:3, :3]) < 1.0)


def answers(localizer: Localizer, images: Images, camera: Camera | None = None) -> np.ndarray:
    """(N, 3): metres from the truth (infinite without one, NaN without an answer), is metric, seconds.

    Parameters
    ----------
    camera : that took the images; default: that of the map.
    """
    rows = []
    for image, truth in images:
        started = perf_counter()
        prior = localizer.locate(localizer.observe(image, 0, camera=camera)).prior
        seconds = perf_counter() - started
        error, measured = np.nan, False
        if prior is not None:
            error = np.inf if truth is None else float(np.linalg.norm(prior.pose.position - truth.position))
            measured = is_metric(prior)
        rows.append((error, measured, seconds))
    return np.array(rows)


def row(title: str, found: np.ndarray) -> list[str]:
    answered, metric = np.isfinite(found[:, 0]), found[:, 1] > 0
    wrong = int((found[:, 0] > _WRONG).sum())
    errors = found[metric & answered, 0]
    metres = (
        [f"{v:.2f}" for v in (errors.mean(), np.quantile(errors, 0.99), errors.max())]
        if len(errors)
        else ["-"] * 3
    )
    return [
        title, str(len(found)), f"{100 * metric.mean():.1f}", *metres,
        f"{100 * (errors < 0.5).sum() / max(1, len(errors)):.1f}",
        f"{100 * (found[:, 0] <= _WRONG).mean():.1f}", str(wrong), f"{1e3 * np.median(found[:, 2]):.0f}",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="(default: %(default)s)")
    options = parser.parse_args()
    shop = replace(workshop(options), has_town=True)
    chosen = LocalizerOptions(verification=VerificationOptions())
    localizer = Localizer.open(shop.place_map("town", features="xfeat").path, options=chosen)
    rows = []
    for weather in _LIGHTS:
        found = []
        for seed in range(options.seeds):
            found.append(answers(localizer, drive(shop.folder, weather, seed)))
            print(*row(f"{weather} {seed}", found[-1]), sep="  ", file=sys.stderr, flush=True)
        rows.append(row(f"town, {weather}", np.vstack(found)))
    for weather in ("evening", "rain"):
        unmapped = np.vstack([answers(localizer, elsewhere(shop, seed, weather)) for seed in ELSEWHERE])
        rows.append(row(f"other towns, {weather}", unmapped))
    print_table(HEADER, rows)


if __name__ == "__main__":
    main()
