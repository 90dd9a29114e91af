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

_CONFIG = Path(__file__).resolve().parents[2] / "config"
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
def street(request: pytest.FixtureRequest) -> Street:
    """Real images where they are, else generated ones."""
    try:
        images, poses = _real_street(request.getfixturevalue("shared_data") / "toshiki_loop")
    except (pytest.skip.Exception, FileNotFoundError):
        images, poses = _generated_street()
    return Street(images, [_seen_again(image) for image in images], poses)


@pytest.fixture(scope="session")
def map_path(street: Street, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map of the street, complete with its network."""
    return _build(street, tmp_path_factory.mktemp("map"), seed=0)


@pytest.fixture(scope="session")
def other_map_path(street: Street, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same street, mapped with another network."""
    return _build(street, tmp_path_factory.mktemp("other_map"), seed=1)


@pytest.fixture(scope="session")
def ros() -> Iterator[None]:
    """Initialise rclpy in a domain of this process's own, which its child processes inherit."""
    rclpy = pytest.importorskip("rclpy")
    os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
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


@pytest.fixture(scope="module")
def robot(ros: None, map_path: Path) -> Iterator[Any]:
    """A localizer that runs through all tests of a module: leave it as it was."""
    from support.robot import Robot

    robot = Robot(map=map_path)
    robot.wait_until_it_answers()
    yield robot
    robot.close()


def _real_street(folder: Path) -> tuple[list[np.ndarray], np.ndarray]:
    with (folder / "poses.csv").open() as file:
        rows = list(csv.DictReader(file))
    rows = rows[:: len(rows) // _COUNT][:_COUNT]
    images = [cv2.imread(str(folder / row["file"]), cv2.IMREAD_COLOR)[..., ::-1] for row in rows]
    poses = np.array([[float(row[name]) for name in ("x", "y", "yaw")] for row in rows])
    return [cv2.resize(image, (640, 480), interpolation=cv2.INTER_CUBIC) for image in images], poses


def _generated_street() -> tuple[list[np.ndarray], np.ndarray]:
    """Views along painted house fronts; each shares half of what it shows with the next."""
    positions = 9.0 * np.arange(_COUNT)
    fronts = painted.street(seed=0, metres=int(positions[-1]) + 1)
    images = [
        cv2.resize(painted.view(fronts, x), (640, 480), interpolation=cv2.INTER_CUBIC) for x in positions
    ]
    return images, np.column_stack([positions, np.zeros((_COUNT, 2))])


def _seen_again(image: np.ndarray) -> np.ndarray:
    cropped = cv2.resize(image[12:470, 20:], (640, 480))
    return (cropped * 0.85 + 8).astype(np.uint8)


def _build(street: Street, folder: Path, seed: int) -> Path:
    from netvlad_core.data.catalogue import CatalogueSource
    from netvlad_core.mapping.builder import BuildOptions, build_map
    from netvlad_core.model.spec import NetworkSpec

    source = CatalogueSource.from_csv(street.write(folder / "street"))
    options = BuildOptions(spec=NetworkSpec.of_backbone(clusters=16), seed=seed, device="cpu")
    return build_map(source, folder / "map", options, progress=False).path
