"""Drives through a town, rendered and written as bags.

The first is at noon in the right lane, the second in the evening: another lane, speed and parked cars.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from netvlad_core.progress import bar
from town.bag import DriveBag
from town.ground import STRIDE
from town.motion import Manner, Motion
from town.renderer import Renderer
from town.town import make_town

CAMERA_POSITION = np.array((0.5, 0.0, 1.5))  # on base_link, metres
CAMERA_ROTATION = Rotation.from_matrix([(0, 0, 1), (-1, 0, 0), (0, -1, 0)])  # base_link <- optical frame
ODOMETRY_RATE = 50.0  # Hz
OVERLAP = 15.0  # metres driven again after the loop has closed
SECOND = 10**9
_SEEN = 80.0  # metres that the camera of a short drive sees
LEAD_IN = 0.013  # seconds from an odometry message to the next image: they never coincide


@dataclass(frozen=True)
class Drive:
    """What distinguishes one drive from another.

    Attributes
    ----------
    light : key of `lighting.LIGHTS`.
    epoch : first stamp in seconds.
    parking_seed : random seed of the parked cars.
    image_rate : Hz.
    manner : how the car is driven.
    seed, designs, plan : which town, see `make_town`; drives of one town have the same.
    """

    light: str
    epoch: int
    parking_seed: int = 0
    image_rate: float = 5.0
    manner: Manner = field(default_factory=Manner)
    seed: int = 7
    designs: int | None = None
    plan: int = 0


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
    path : folder to create.
    start, length : metres along the route; default: the whole loop and a little more. Of the town only what
        such a part of it can see is painted, in half of the time.
    image_rate : Hz; default: the drive's own.
    size : width and height of the images in pixels.
    compressed : JPEG on /camera/image_raw/compressed, or rgb8 on /camera/image_raw.
    """
    town = make_town(drive.seed, drive.parking_seed, drive.designs, drive.plan)
    is_whole, length = length is None, town.route.length + OVERLAP if length is None else length
    motion = Motion(town.route, drive.manner, start, length, np.random.default_rng([drive.seed, drive.epoch]))
    if not is_whole:
        town = town.around(motion.pose(np.arange(0.0, motion.duration))[0][:, :2], _SEEN, STRIDE)
    renderer = Renderer(town, drive.light, *size)
    odometry_times = np.arange(0.0, motion.duration, 1.0 / ODOMETRY_RATE)
    image_times = np.arange(LEAD_IN, odometry_times[-1], 1.0 / (image_rate or drive.image_rate))
    odometry = list(zip(odometry_times, *motion.pose(odometry_times), *_velocities(motion, odometry_times)))
    frames = list(zip(image_times, *motion.pose(image_times)))

    def stamp_of(time: float) -> int:
        return drive.epoch * SECOND + round(time * SECOND)

    with DriveBag(path, compressed) as bag:
        bag.mount(drive.epoch * SECOND, CAMERA_POSITION, CAMERA_ROTATION.as_quat())
        for time, position, quaternion in bar(frames, f"{drive.light} drive", show=progress):
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
