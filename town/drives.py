"""Two drives through the town, written as bags: `python -m town.drives OUTPUT_DIR`.

The first at noon in the right lane, the second in the evening: other lane, other speed, other parked cars.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from town.bag import DriveBag
from town.motion import Manner, Motion
from town.renderer import Renderer
from town.town import make_town

CAMERA_POSITION = np.array((0.5, 0.0, 1.5))  # on base_link, metres
CAMERA_ROTATION = Rotation.from_matrix([(0, 0, 1), (-1, 0, 0), (0, -1, 0)])  # base_link <- optical frame
ODOMETRY_RATE = 50.0  # Hz
OVERLAP = 15.0  # metres driven again after the loop has closed
SECOND = 10**9
LEAD_IN = 0.013  # seconds from an odometry message to the next image: they never coincide


@dataclass(frozen=True)
class Drive:
    """What distinguishes one drive from another; `epoch` is its first stamp in seconds."""

    light: str
    epoch: int
    parking_seed: int = 0
    image_rate: float = 5.0
    manner: Manner = field(default_factory=Manner)


FIRST = Drive("noon", epoch=1_750_000_000)
SECOND_DRIVE = Drive(
    "evening",
    epoch=1_750_030_000,
    parking_seed=1,
    manner=Manner(
        speed=6.5, surge=0.2, lane_offset=0.25, wobble=0.15, sway=0.006, pauses=((228.0, 3.0), (470.0, 2.0))
    ),
)


@dataclass(frozen=True)
class DriveSummary:
    path: Path
    images: int
    duration: float  # seconds
    length: float  # metres


def write_drive(
    path: Path,
    drive: Drive,
    *,
    seed: int = 7,
    designs: int | None = None,
    plan: int = 0,
    start: float = 0.0,
    length: float | None = None,
    image_rate: float | None = None,
    size: tuple[int, int] = (640, 480),
    compressed: bool = True,
    progress: bool = False,
) -> DriveSummary:
    """Render a drive and write it as a rosbag2 folder with one mcap file.

    Parameters
    ----------
    path
        The folder to create.
    seed
        Of the town; the same in drives that shall meet the same places.
    designs
        Different houses of a town whose streets look alike; None for a town of all different houses.
    plan
        Of the streets; 0 is the plan of the demo.
    start, length
        Metres along the route; the whole loop and a little more by default.
    image_rate
        Hz; the drive's own by default.
    size
        Width and height of the images.
    compressed
        JPEG on /camera/image_raw/compressed, or rgb8 on /camera/image_raw.
    """
    town = make_town(seed, drive.parking_seed, designs, plan)
    length = town.route.length + OVERLAP if length is None else length
    motion = Motion(town.route, drive.manner, start, length, np.random.default_rng([seed, drive.epoch]))
    renderer = Renderer(town, drive.light, *size)
    odometry_times = np.arange(0.0, motion.duration, 1.0 / ODOMETRY_RATE)
    image_times = np.arange(LEAD_IN, odometry_times[-1], 1.0 / (image_rate or drive.image_rate))
    odometry = list(zip(odometry_times, *motion.pose(odometry_times), *_velocities(motion, odometry_times)))
    frames = list(zip(image_times, *motion.pose(image_times)))

    def stamp_of(time: float) -> int:
        return drive.epoch * SECOND + round(time * SECOND)

    with DriveBag(path, compressed) as bag:
        bag.mount(drive.epoch * SECOND, CAMERA_POSITION, CAMERA_ROTATION.as_quat())
        for time, position, quaternion in tqdm(
            frames, desc=f"{drive.light} drive", disable=None if progress else True, unit="image"
        ):
            while odometry and odometry[0][0] < time:
                bag.odometry(stamp_of(odometry[0][0]), *odometry.pop(0)[1:])
            base = Rotation.from_quat(quaternion)
            eye = position + base.apply(CAMERA_POSITION)
            bag.image(
                stamp_of(time), renderer.render(eye, (base * CAMERA_ROTATION).as_quat()), renderer.intrinsics
            )
        for time, *rest in odometry:
            bag.odometry(stamp_of(time), *rest)
    renderer.close()
    return DriveSummary(path, len(image_times), motion.duration, length)


def _velocities(motion: Motion, times: np.ndarray, step: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
    """Linear and angular velocity (N, 3) in base_link, m/s and rad/s."""
    (before, turned_before), (after, turned_after) = motion.pose(times - step), motion.pose(times + step)
    base = Rotation.from_quat(motion.pose(times)[1])
    turn = Rotation.from_quat(turned_before).inv() * Rotation.from_quat(turned_after)
    return base.inv().apply(after - before) / (2 * step), turn.as_rotvec() / (2 * step)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m town.drives",
        description="Render two drives through a small town and write them as bags.",
    )
    parser.add_argument("output", type=Path, help="folder for the bags `first` and `second`")
    parser.add_argument("--image-rate", type=float, help="images a second (default: 5)")
    parser.add_argument("--seed", type=int, default=7, help="of the town")
    parser.add_argument("--short", action="store_true", help="150 m at 320x240 only")
    parser.add_argument("--raw", action="store_true", help="rgb8 images instead of JPEG")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    for name, drive in (("first", FIRST), ("second", SECOND_DRIVE)):
        summary = write_drive(
            options.output / name, drive, seed=options.seed, image_rate=options.image_rate,
            compressed=not options.raw, progress=True,
            length=150.0 if options.short else None, size=(320, 240) if options.short else (640, 480),
        )  # fmt: skip
        print(f"{summary.path}: {summary.images} images, {summary.length:.0f} m, {summary.duration:.0f} s")


if __name__ == "__main__":
    main()
