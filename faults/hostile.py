"""A node among hostile messages and calls."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import sleep, time_ns
from typing import Any

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.publisher import Publisher
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from faults.inputs import encoded, jpeg_of
from faults.live import picture_map
from faults.robot import START, Robot
from faults.trial import Bad, Fault
from netvlad_core.mapping.map_header import HEADER_FILE, MapHeader
from netvlad_ros.conversions import image_to_message, stamp_from_nanoseconds
from netvlad_ros.srv import LoadMap, Localize, SaveMap

_Attack = tuple[str, Callable[[], object]]
_Attacks = Iterator[_Attack]
_INTERVAL = 0.1  # seconds between two images of a camera
# Fields of map.json with values of another type, or of none.
_WRONG: tuple[tuple[str, Any], ...] = (
    ("source", 5), ("source", "\ud800"), ("frame_id", None), ("map_id", []), ("model_id", {}), ("weights", 5),
    ("places", "many"), ("spacing", "x"), ("similarity_threshold", None),
    ("similarity_threshold", float("nan")), ("files", []),
)  # fmt: skip


def node(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """Two localizers as they run on a robot, of raw and of compressed images, with a viewer of ~/match_image.

    After each fault the node that it meets must answer the next good image.
    """
    place_map, pictures = picture_map(folder)
    other, _ = picture_map(folder / "other", first=3)
    with (
        Robot.at_work(pictures) as robot,
        robot.runs(map=place_map, publish_map_to_odom=True) as localizer,
        robot.runs(name="compressed", map=place_map, image_transport="compressed") as compressed,
    ):
        robot.node.create_subscription(Image, "localizer/match_image", lambda _: None, 1)
        for running in (localizer, compressed):
            robot.is_answered(running, START)
        flood = round(2000 * share)
        attacks: dict[str, list[_Attack]] = {
            localizer.name: [
                *_messages(robot),
                *_calls(robot, folder),
                *_odd_maps(robot, place_map, folder),
                *_overwritten(place_map, other),
                (f"{flood} images at once", partial(_flood, robot, flood)),
            ],
            compressed.name: list(_pictures(robot)),
        }
        for running in (localizer, compressed):
            for name, attack in attacks[running.name]:
                yield Fault(name, partial(robot.survives, running, attack), seconds=200)


def _shown(
    robot: Robot, publisher: Publisher, message: Image | CompressedImage, stamp: int | None = None
) -> None:
    """Publish an image with odometry, and let the node look at it before a newer one comes."""
    message.header = robot.moves()
    if stamp is not None:
        message.header.stamp = stamp_from_nanoseconds(stamp)
    publisher.publish(message)
    sleep(_INTERVAL)


def _messages(robot: Robot) -> _Attacks:
    for width, height in ((16, 60_000), (60_000, 16), (0, 0), (1, 1), (4000, 16)):
        data = bytes(min(width * height, 1 << 21))
        image = Image(width=width, height=height, step=width, encoding="mono8", data=data)
        yield f"image {width}x{height}", partial(_shown, robot, robot.images, image)
        yield f"~/localize of {width}x{height}", partial(_localize, robot, image=image)
    for name, message in _jpegs(robot):
        yield f"~/localize of {name}", partial(_localize, robot, compressed=message)
    for stamp in (0, 1, 10**18, time_ns() + 10**15, 2**31 * 10**9 - 1):
        image = image_to_message(robot.pictures[1], Header())
        yield f"image of stamp {stamp}", partial(_shown, robot, robot.images, image, stamp)
    for value in (1e300, 1e308, float("nan"), float("inf"), -1e9):
        for part, name in (("position", "x"), ("orientation", "w")):
            yield f"odometry, {part}.{name} = {value}", partial(_told, robot, part, name, value)


def _told(robot: Robot, part: str, name: str, value: float) -> None:
    odometry = Odometry(header=Header(frame_id="odom"), child_frame_id="base_link")
    odometry.header.stamp = stamp_from_nanoseconds(time_ns())
    odometry.pose.pose.orientation.z, odometry.pose.pose.orientation.w = 0.38, 0.92
    setattr(getattr(odometry.pose.pose, part), name, value)
    robot.odometry.publish(odometry)


def _pictures(robot: Robot) -> _Attacks:
    for name, message in _jpegs(robot):
        yield name, partial(_shown, robot, robot.compressed, message)


def _jpegs(robot: Robot) -> Iterator[tuple[str, CompressedImage]]:
    whole, bomb = encoded("JPEG", robot.pictures[0]), jpeg_of(20_000, 20_000)
    for name, data in {
        f"a JPEG of {len(bomb)} bytes that claims 20000x20000": bomb,
        "half a JPEG": whole[: len(whole) // 2],
        "noise as a JPEG": os.urandom(5000),
    }.items():
        yield name, CompressedImage(format="jpeg", data=data)


def _calls(robot: Robot, folder: Path) -> _Attacks:
    paths = ["", "/", "/dev/zero", "/etc", "../..", "\n", "~nobody/x", "x" * 5000, folder / "drive"]
    for path in map(str, paths):
        yield f"~/load_map {path[:30]!r}", partial(robot.call, LoadMap, "localizer/load_map", path=path)
        if path:
            yield f"~/save_map {path[:30]!r}", partial(_save, robot, path)


def _odd_maps(robot: Robot, place_map: Path, folder: Path) -> _Attacks:
    """For ~/load_map: map.json of wrong types under a right checksum, a FIFO or a device in its place."""
    header = MapHeader.read(place_map / HEADER_FILE)
    for number, (field, value) in enumerate(_WRONG):
        odd = folder / f"wrong{number}"
        shutil.copytree(place_map, odd)
        replace(header, **{field: value}).write(odd / HEADER_FILE)
        yield f"~/load_map, map.json with {field} = {value!r}", partial(_refuse, robot, odd)
    specials: dict[str, Callable[[Path], None]] = {
        "a FIFO": os.mkfifo,
        "a link to /dev/zero": partial(os.symlink, "/dev/zero"),
    }
    for name, make in specials.items():
        odd = folder / name.replace("/", " ")
        odd.mkdir()
        make(odd / HEADER_FILE)
        yield f"~/load_map, {name} as map.json", partial(_refuse, robot, odd)


def _refuse(robot: Robot, path: Path) -> None:
    if robot.call(LoadMap, "localizer/load_map", path=str(path)).success:
        raise Bad(f"silent: {path.name} is opened as a map")


def _overwritten(place_map: Path, other: Path) -> _Attacks:
    """What other programs do to the map that the nodes have open, in place; at the end it is as before."""
    whole = {path: path.read_bytes() for path in place_map.iterdir()}

    def write(files: dict[Path, bytes]) -> None:
        for path, data in files.items():
            path.write_bytes(data)

    strange = {place_map / path.name: path.read_bytes() for path in other.iterdir()}
    yield "the map overwritten by another one", partial(write, strange)
    yield "the map emptied", partial(write, dict.fromkeys(whole, b""))
    yield "the map written again", partial(write, whole)


def _localize(robot: Robot, **request: object) -> None:
    robot.call(Localize, "localizer/localize", **request)


def _save(robot: Robot, path: str) -> None:
    if robot.call(SaveMap, "localizer/save_map", path=path).success:
        raise Bad(f"loss: the map is saved to {path!r}")


def _flood(robot: Robot, count: int) -> None:
    for number in range(count):
        robot.show(number % len(robot.pictures))
