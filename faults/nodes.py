"""Nodes that run: their clock leaps, they are killed and started again, share a map, and are called often."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any

import numpy as np
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from std_msgs.msg import Header

from faults.live import picture_map
from faults.maps import content
from faults.robot import GOOD, START, Robot, Running
from faults.trial import Bad, Cost, Fault, no_loss
from netvlad_core.mapping.map_writer import copy_map
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_ros.conversions import image_to_message
from netvlad_ros.srv import LoadMap, SaveMap

_SECONDS = 200
_SECOND, _DAY = 10**9, 86_400 * 10**9
# Names and lengths. Odometry that is a few seconds behind the images counts as late, not as of another clock.
_SHORT = {"half a second": _SECOND // 2, "two seconds": 2 * _SECOND}
_LONG = {"a minute": 60 * _SECOND, "a day": _DAY, "ten years": 3650 * _DAY}
_CLOSER = "loop_closure_node"
_CUT = 3  # images that the other map lacks at its beginning


def clocks(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """Stamps of images, of odometry or of both leap to and fro; with use_sim_time the clock of ROS, too."""
    place_map, pictures = picture_map(folder)
    for simulated in (False, True):
        with Robot.at_work(pictures) as robot, _both(robot, place_map, use_sim_time=simulated) as nodes:
            for _ in range(max(2, round(30 * share))):
                topics = [["images"], ["odometry"], ["images", "odometry"]][rng.integers(3)]
                leaps = _LONG if len(topics) == 1 else _SHORT | _LONG
                name, sign = str(rng.choice(list(leaps))), int(rng.choice([-1, 1]))
                leaping = [*topics, *["clock"] * (simulated and len(topics) == 2)]
                leap = partial(_leap, robot, leaping, sign * leaps[name])
                yield Fault(
                    f"{' and '.join(leaping)} leap to {name} {'after' if sign > 0 else 'before'} now",
                    partial(_survive, robot, nodes, leap), _SECONDS,
                )  # fmt: skip


@contextmanager
def _both(robot: Robot, place_map: Path, **parameters: Any) -> Iterator[list[Running]]:
    """A localizer and a loop closer, both at work."""
    with (
        robot.runs(map=place_map, **parameters) as localizer,
        robot.runs(_CLOSER, "loop_closer", maps_folder=place_map.parent, **parameters) as closer,
    ):
        for running in (localizer, closer):
            robot.is_answered(running, START)
        yield [localizer, closer]


def _survive(robot: Robot, nodes: list[Running], attack: Callable[[], object]) -> Cost:
    cost = robot.survives(nodes[0], attack)
    for running in nodes[1:]:
        robot.survives(running, lambda: None)
    return cost


def _leap(robot: Robot, leaping: list[str], leap: int) -> None:
    robot.ahead |= dict.fromkeys(leaping, leap)


def restarts(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """A localizer killed while images flow, or while it starts, and started again: it answers, rightly."""
    place_map, pictures = picture_map(folder)
    before = content(place_map)
    with Robot.at_work(pictures) as robot:
        for _ in range(max(1, round(10 * share))):
            moments = rng.uniform(0.0, 5.0, int(rng.integers(1, 3))).round(2).tolist()
            yield Fault(
                f"killed {moments} s after its start",
                partial(_restarted, robot, place_map, moments, before), _SECONDS,
            )  # fmt: skip


def _restarted(robot: Robot, place_map: Path, moments: list[float], before: tuple[Any, ...]) -> None:
    done = Event()

    def flow() -> None:
        while not done.wait(0.03):
            robot.show()

    flowing = Thread(target=flow)
    flowing.start()
    try:
        for moment in moments:
            with robot.runs(map=place_map) as localizer:
                sleep(moment)
                localizer.check()
                localizer.kill()
    finally:
        done.set()
        flowing.join()
    with robot.runs(map=place_map) as localizer:
        robot.is_answered(localizer, START)
    with no_loss():
        after = content(place_map)
    if after != before or len(list(place_map.parent.iterdir())) != 2:
        raise Bad("loss: the map is another one, or something stays beside it")


def two_nodes(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """Two localizers of one map, of which one saves and replaces it, while the other goes on to answer."""
    place_map, pictures = picture_map(folder / "one")
    other, _ = picture_map(folder / "other", first=_CUT)
    kept = folder / "kept"
    copy_map(PlaceMap.open(place_map), kept)
    with (
        Robot.at_work(pictures) as robot,
        robot.runs(map=place_map) as first,
        robot.runs(name="second", map=place_map, maps_folder=folder) as second,
    ):
        for running in (first, second):
            robot.is_answered(running, START)

        def load(path: Path, good: int) -> None:
            _succeed(robot.call(LoadMap, "second/load_map", path=str(path)))
            second.good = good

        def save(expected: Path) -> None:
            _succeed(robot.call(SaveMap, "second/save_map", path=str(place_map)))
            _same(place_map, content(expected))

        for number in range(max(1, round(8 * share))):
            for name, attack in {
                "saves it in its own place": partial(save, kept),
                "loads another map": partial(load, other, GOOD - _CUT),
                "saves that in its place": partial(save, other),
                "loads what is there now": partial(load, place_map, GOOD - _CUT),
                "loads a copy of the first map": partial(load, kept, GOOD),
                "puts it back in its place": partial(save, kept),
            }.items():
                yield Fault(
                    f"the other node {name}, {number + 1}",
                    partial(_survive, robot, [first, second], attack), _SECONDS,
                )  # fmt: skip


def _succeed(response: Any) -> None:
    if not response.success:
        raise Bad(f"loss: {response.message}")


def _same(path: Path, *allowed: tuple[Any, ...]) -> None:
    with no_loss():
        found = content(path)
    if found not in allowed:
        raise Bad(f"silent: {path.name} is another map")
    if left := [item.name for item in path.parent.glob(f".{path.name}*")]:
        raise Bad(f"growth: {', '.join(left)} stays beside the map")


def node_saves(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """A loop closer killed in the midst of ~/save_map: the older map stays whole, or the new one is there."""
    place_map, pictures = picture_map(folder)
    older = content(place_map)
    with Robot.at_work(pictures) as robot:
        for number in range(max(1, round(12 * share))):
            moment = round(float(rng.uniform(0.0, 0.2)), 4)
            target = place_map if number % 2 else folder / f"new{number}"
            yield Fault(
                f"killed {moment} s after it begins to save {'over a map' if number % 2 else 'a map'}",
                partial(_saved, robot, target, moment, older), _SECONDS,
            )  # fmt: skip


def _saved(robot: Robot, target: Path, moment: float, older: tuple[Any, ...]) -> None:
    is_new, work = not target.exists(), target.with_name(f".{target.name}.partial")
    with robot.runs(_CLOSER, "loop_closer", maps_folder=target.parent) as closer:
        robot.is_answered(closer, START)
        for place in range(len(robot.pictures)):
            robot.show(place)
            sleep(0.05)
        robot.ask(SaveMap, "loop_closer/save_map", path=str(target))
        deadline = monotonic() + START
        while not work.exists():
            if monotonic() > deadline:
                raise Bad("hang: the map is not saved")
        sleep(moment)
        closer.kill()
    if is_new and not target.exists():
        return
    with no_loss():
        found, source = content(target), PlaceMap.open(target).header.source
    if found != older and not source.endswith("loop closures"):
        raise Bad("silent: another map is there")


def services(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """10 000 calls spread over all services of both nodes; all are answered, and the next image is, too."""
    place_map, pictures = picture_map(folder)
    with Robot.at_work(pictures) as robot, _both(robot, place_map) as nodes:
        image = image_to_message(pictures[0], Header())
        slow: dict[str, tuple[int, dict[str, Any]]] = {
            "localizer/localize": (500, {"image": image}),
            "localizer/load_map": (20, {"path": str(place_map)}),
            "localizer/save_map": (20, {"path": str(folder / "copy")}),
            "loop_closer/load_map": (20, {"path": str(place_map)}),
            "loop_closer/save_map": (20, {"path": str(folder / "drive map")}),
        }
        names = [*robot.services("localizer"), *robot.services("loop_closer")]
        often = (10_000 - sum(count for count, _ in slow.values())) // (len(names) - len(slow))
        for service, kind in names:
            count, fields = slow.get(service, (often, {}))
            count = max(1, round(count * share))
            attack = partial(robot.call_often, kind, service, count, **fields)
            yield Fault(f"{count} calls of {service}", partial(_survive, robot, nodes, attack), _SECONDS)
        for name in ("localizer", "loop_closer"):
            attack = partial(_to_and_fro, robot, f"{name}/change_state", max(1, round(50 * share)))
            yield Fault(f"{name} sent to sleep and woken", partial(_survive, robot, nodes, attack), _SECONDS)


def _to_and_fro(robot: Robot, service: str, count: int) -> None:
    for label in count * ("deactivate", "activate"):
        _succeed(robot.call(ChangeState, service, transition=Transition(label=label)))
