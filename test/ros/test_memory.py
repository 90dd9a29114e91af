"""A node that comes back opens its map and is sure of its place sooner; a wrong place gives no wrong pose."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from time import sleep, time_ns
from typing import Any

import pytest

pytest.importorskip("rclpy")
from std_srvs.srv import Trigger

from netvlad_core.errors import NetvladError
from netvlad_core.localization.last_place import LastPlace
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_ros.memory import Memory
from netvlad_ros.msg import PlaceMatches
from support.robot import Partner, raw, wait_until

_SECOND = 10**9
_SPEED = {"sequence.speed": 9.0}  # a place a second
_PLACE = 13  # at which the node is killed


def _follow(partner: Partner, street: Any, places: range, start: int) -> list[PlaceMatches]:
    """Show places, a second apart by their stamps: that of place 0 is `start`."""
    return [
        partner.ask(raw(street.queries[place], start + place * _SECOND), timeout=60.0) for place in places
    ]


def _images_needed(answers: list[PlaceMatches], places: range) -> int:
    """Images until the first pose; no pose may be wrong."""
    for answer, place in zip(answers, places, strict=True):
        assert answer.state != PlaceMatches.LOCALIZED or abs(answer.place_id - place) <= 1
    states = [answer.state for answer in answers]
    return states.index(PlaceMatches.LOCALIZED) + 1


@pytest.fixture
def last(map_path: Path) -> LastPlace:
    return LastPlace(str(map_path), PlaceMap.open(map_path).header.map_id, _PLACE, time_ns())


def test_a_node_that_was_killed_opens_its_map_and_knows_its_place_sooner(
    start, programs, street, map_path, tmp_path
):
    state, began, before = tmp_path / "state.json", time_ns(), range(_PLACE + 1)
    command = [sys.executable, str(programs / "localize_node"), "--ros-args", "-r", "__ns:=/killed"]
    command += ["-p", f"map:={map_path}", "-p", f"state_file:={state}", "-p", "sequence.speed:=9.0"]
    with subprocess.Popen(command) as process:
        partner = Partner("/killed")
        try:
            answers = _follow(partner, street, before[:-1], began)
            sleep(1.1)  # the file is written once a second
            answers += _follow(partner, street, before[-1:], began)
            _images_needed(answers, before)
            wait_until(lambda: LastPlace.read(state).place == answers[-1].place_id, 20, "the state")
        finally:
            process.send_signal(signal.SIGKILL)
            partner.close()

    after = range(_PLACE + 1, len(street.queries))
    knowing = start(state_file=str(state), **_SPEED)
    needed = _images_needed(_follow(knowing, street, after, began), after)
    anew = start(map=map_path, **_SPEED)
    assert needed < _images_needed(_follow(anew, street, after, began), after)

    assert knowing.call(Trigger, "relocalize").success
    knowing.ask(raw(street.queries[0], began + 30 * _SECOND))
    wait_until(lambda: LastPlace.read(state).place == -1, 10, "a state without a place")


def test_a_wrong_place_gives_no_wrong_pose(start, street, last, tmp_path):
    state, places = tmp_path / "state.json", range(10, len(street.queries))
    replace(last, place=1, stamp=last.stamp + 9 * _SECOND).write(state)
    answers = _follow(start(state_file=str(state), **_SPEED), street, places, last.stamp)
    assert _images_needed(answers, places) < len(places)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"my thesis", "no earlier run has written it"),
        (b'{"format": "netvlad_ros last place", ', "is damaged"),
        (60, "clocks differ"),
    ],
    ids=["somebody else's", "damaged", "of tomorrow"],
)
def test_what_cannot_be_believed_is_said_once(start, street, map_path, last, content, said, tmp_path, capfd):
    state = tmp_path / "state.json"
    if isinstance(content, bytes):
        state.write_bytes(content)
    else:
        replace(last, stamp=last.stamp + content * _SECOND).write(state)
    robot = start(map=map_path, state_file=str(state), **_SPEED)
    answers = _follow(robot, street, range(3), last.stamp)
    assert all(answer.state != PlaceMatches.LOCALIZED for answer in answers)
    if content == b"my thesis":
        robot.diagnostics(lambda message, _: "the last place is not kept" in message)
        assert state.read_bytes() == content
    else:
        wait_until(lambda: LastPlace.read(state).place == -1 or content == 60, 10, "a new state")
    assert capfd.readouterr().err.count(said) == 1 + (content == b"my thesis")


def test_a_map_that_is_gone_leaves_the_node_waiting(start, last, tmp_path):
    state = tmp_path / "state.json"
    replace(last, map_path=str(tmp_path / "gone")).write(state)
    robot = start(state_file=str(state))
    assert robot.diagnostics(lambda message, _: "no map is open" in message)
    assert LastPlace.read(state).map_path.endswith("gone")


def test_another_map_is_no_memory_of_this_one(last, tmp_path):
    path = tmp_path / "state.json"
    last.write(path)
    memory = Memory(str(path))
    memory.read()
    memory.begin(Path("/maps/here"), last.map_id)
    assert memory.last == last
    memory.begin(Path("/maps/there"), "there@1")
    assert memory.last == LastPlace("/maps/there", "there@1")


def test_it_is_written_once_a_second_and_in_the_end_says_why_it_cannot_be(last, tmp_path):
    path = tmp_path / "state.json"
    memory = Memory(str(path))
    memory.start()
    memory.keep(last)
    wait_until(path.exists, 10, "the file")
    for place in range(20):
        memory.keep(replace(last, place=place))
    memory.stop()
    assert LastPlace.read(path) == last
    path.unlink()
    path.mkdir()
    memory.start()
    wait_until(lambda: "is a folder" in memory.problem, 10, "the problem")
    memory.stop()


def test_without_a_file_nothing_is_kept():
    memory = Memory("")
    memory.read()
    memory.start()
    memory.begin(Path("/maps/here"), "here@1")
    assert memory.last is None
    memory.stop()


def test_a_home_of_nobody_is_refused():
    with pytest.raises(NetvladError, match="no user"):
        Memory("~nobody-at-all/state")
