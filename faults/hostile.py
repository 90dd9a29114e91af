"""A node among hostile messages and calls."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import time_ns

import numpy as np
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from faults.inputs import encoded, jpeg_of
from faults.live import picture_map
from faults.robot import START, Robot
from faults.trial import Bad, Fault
from netvlad_ros.conversions import image_to_message, stamp_from_nanoseconds
from netvlad_ros.srv import LoadMap, Localize, SaveMap

_Attacks = Iterator[tuple[str, Callable[[], object]]]


def node(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """The localizer as it runs on a robot; after each fault it must answer the next good image."""
    place_map, pictures = picture_map(folder)
    with Robot.at_work(pictures) as robot, robot.runs(map=place_map) as localizer:
        robot.is_answered(localizer, START)
        for name, attack in (*_messages(robot), *_calls(robot, folder)):
            yield Fault(name, partial(robot.survives, localizer, attack), seconds=200)
        flood = round(2000 * share)
        attack = partial(_flood, robot, flood)
        yield Fault(f"{flood} images at once", partial(robot.survives, localizer, attack), seconds=200)


def _header(stamp: int | None = None) -> Header:
    stamp = time_ns() if stamp is None else stamp
    return Header(stamp=stamp_from_nanoseconds(stamp), frame_id="camera")


def _messages(robot: Robot) -> _Attacks:
    for width, height in ((16, 60_000), (60_000, 16), (0, 0), (1, 1), (4000, 16)):
        data = bytes(min(width * height, 1 << 21))
        image = Image(header=_header(), width=width, height=height, step=width, encoding="mono8", data=data)
        yield f"image {width}x{height}", partial(robot.images.publish, image)
        yield f"~/localize of {width}x{height}", partial(_localize, robot, image=image)
    whole = encoded("JPEG", robot.pictures[0])
    pieces = {"bomb": jpeg_of(20_000, 20_000), "half": whole[: len(whole) // 2], "noise": os.urandom(5000)}
    for name, data in pieces.items():
        message = CompressedImage(header=_header(), format="jpeg", data=data)
        yield f"~/localize of a JPEG, {name}", partial(_localize, robot, compressed=message)
    for stamp in (0, 1, 10**18, time_ns() + 10**15, 2**31 * 10**9 - 1):
        image = image_to_message(robot.pictures[1], _header(stamp))
        yield f"image of stamp {stamp}", partial(robot.images.publish, image)
    for value in (1e300, 1.7e308, float("nan"), float("inf"), -1e9):
        for part, name in (("position", "x"), ("orientation", "w")):
            odometry = Odometry(header=_header(), child_frame_id="base_link")
            odometry.pose.pose.orientation.w = 1.0
            setattr(getattr(odometry.pose.pose, part), name, value)
            yield f"odometry, {part}.{name} = {value}", partial(robot.odometry.publish, odometry)


def _calls(robot: Robot, folder: Path) -> _Attacks:
    odd = folder / "odd"
    odd.mkdir()
    os.mkfifo(odd / "map.json")
    paths = ["", "/", "/dev/zero", "/etc", "../..", "\n", "~nobody/x", "x" * 5000, folder / "drive", odd]
    for path in map(str, paths):
        yield f"~/load_map {path[:30]!r}", partial(robot.call, LoadMap, "localizer/load_map", path=path)
        if path:
            yield f"~/save_map {path[:30]!r}", partial(_save, robot, path)


def _localize(robot: Robot, **request: object) -> None:
    robot.call(Localize, "localizer/localize", **request)


def _save(robot: Robot, path: str) -> None:
    if robot.call(SaveMap, "localizer/save_map", path=path).success:
        raise Bad(f"loss: the map is saved to {path!r}")


def _flood(robot: Robot, count: int) -> None:
    for number in range(count):
        robot.show(number % len(robot.pictures))
