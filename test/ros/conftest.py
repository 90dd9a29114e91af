"""A map of a short street, and ROS kept on this machine and out of everybody else's hearing."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from support import street as painted
from support.interfaces import build, environment
from support.shared import made_once

_ROOT = Path(__file__).resolve().parents[2]
_CONFIG = _ROOT / "config"
_EXECUTABLE = _ROOT / "netvlad_ros" / "executables" / "executable"
_COUNT = 24


@dataclass(frozen=True)
class Street:
    """Places as they were mapped, and the same places seen again.

    Attributes
    ----------
    images : mapped, uint8 RGB (480, 640, 3) each.
    queries : the same, shifted and in other light.
    poses : (N, 3) x, y in metres and yaw in radians.
    """

    images: list[np.ndarray]
    queries: list[np.ndarray]
    poses: np.ndarray

    def write(self, folder: Path) -> Path:
        """Write the images and their catalogue; returns the catalogue."""
        folder.mkdir()
        rows = [["image", "x", "y", "yaw"]]
        for index, (image, pose) in enumerate(zip(self.images, self.poses, strict=True)):
            cv2.imwrite(str(folder / f"{index}.png"), image[..., ::-1])
            rows.append([f"{index}.png", *map(str, pose)])
        with (folder / "catalogue.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        return folder / "catalogue.csv"


@pytest.fixture(scope="session")
def street() -> Street:
    """Views along painted house fronts; each shares half of what it shows with the next."""
    positions = 9.0 * np.arange(_COUNT)
    fronts = painted.street(seed=0, metres=int(positions[-1]) + 1)
    images = [
        cv2.resize(painted.view(fronts, x), (640, 480), interpolation=cv2.INTER_CUBIC) for x in positions
    ]
    poses = np.column_stack([positions, np.zeros((_COUNT, 2))])
    return Street(images, [_seen_again(image) for image in images], poses)


@pytest.fixture(scope="session")
def map_path(street: Street, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map of the street, complete with its network."""
    return made_once(tmp_path_factory, "map", lambda folder: _build(street, folder, seed=0)) / "map"


@pytest.fixture(scope="session")
def other_map_path(street: Street, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same street, mapped with another network."""
    return made_once(tmp_path_factory, "other_map", lambda folder: _build(street, folder, seed=1)) / "map"


@pytest.fixture(scope="session")
def foreign_messages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment in which tf2_msgs and cslam_common_interfaces are found, which no wheel has."""
    pytest.importorskip("colcon")
    return environment(made_once(tmp_path_factory, "messages", build))


@pytest.fixture(scope="session")
def ros() -> Iterator[None]:
    """Initialise rclpy; what it sends stays on this machine."""
    rclpy = pytest.importorskip("rclpy")
    os.environ["FASTDDS_DEFAULT_PROFILES_FILE"] = str(_CONFIG / "fastdds_profile.xml")
    rclpy.init()
    yield
    rclpy.try_shutdown()


@pytest.fixture
def start(ros: None) -> Iterator[Callable[..., Any]]:
    """Start a localizer in this process: `start(map=..., top_k=3)` returns its `support.robot.Robot`."""
    from support.robot import Robot

    robots = []

    def start_robot(**parameters: Any) -> Robot:
        robots.append(Robot(**parameters))
        return robots[-1]

    yield start_robot
    for robot in robots:
        robot.close()


@pytest.fixture
def start_drive(ros: None) -> Iterator[Callable[..., Any]]:
    """Start a listener and its robot: `start_drive("image:=/front", base_frame=...)` returns a `Drive`."""
    from support.listener import Drive

    drives: list[Drive] = []

    def make(*remappings: str, **parameters: Any) -> Drive:
        drives.append(Drive(remappings, **parameters))
        return drives[-1]

    yield make
    for drive in drives:
        drive.close()


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the executables of both nodes, as a build installs them."""
    folder = tmp_path_factory.mktemp("programs")
    for name in ("localize_node", "loop_closure_node"):
        (folder / name).symlink_to(_EXECUTABLE)
    return folder


@pytest.fixture(scope="module")
def robot(ros: None, map_path: Path) -> Iterator[Any]:
    """A localizer that runs through all tests of a module: leave it as it was."""
    from support.robot import Robot

    robot = Robot(map=map_path)
    robot.wait_until_it_answers()
    yield robot
    robot.close()


def _seen_again(image: np.ndarray) -> np.ndarray:
    cropped = cv2.resize(image[12:470, 20:], (640, 480))
    return (cropped * 0.85 + 8).astype(np.uint8)


def _build(street: Street, folder: Path, seed: int) -> None:
    from netvlad_core.data.catalogue import CatalogueSource
    from netvlad_core.mapping.builder import BuildOptions, build_map

    source = CatalogueSource.from_csv(street.write(folder / "street"))
    options = BuildOptions(seed=seed, device="cpu", store_features="none")
    build_map(source, folder / "map", options, progress=False)
