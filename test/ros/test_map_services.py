"""Maps are opened, refused and saved by services; an image is localized on request."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from time import time_ns

import pytest

pytest.importorskip("rclpy")
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CompressedImage, Image

from netvlad_core import search
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_ros.msg import MapInfo
from netvlad_ros.srv import LoadMap, Localize, SaveMap
from support.robot import Partner, jpeg, raw, wait_until


def test_late_subscriber_learns_which_map_is_open(robot, map_path):
    late = Partner(robot.namespace)
    wait_until(lambda: late.heard["map_info"], 10, "the latched message")
    late.close()
    info = late.heard["map_info"][-1]
    facts = PlaceMap.open(map_path).header
    assert (info.map_id, info.model_id, info.places, info.path, info.header.frame_id) == (
        facts.map_id,
        facts.model_id,
        facts.places,
        str(map_path),
        "map",
    )


def test_other_map_is_opened_and_answers(start, street, map_path, other_map_path):
    robot = start(map=map_path)
    robot.wait_until_it_answers()
    response = robot.call(LoadMap, "load_map", path=str(other_map_path))
    assert (response.success, response.message) == (True, "")
    other = PlaceMap.open(other_map_path).header
    assert response.info.map_id == other.map_id
    answer = robot.ask(raw(street.queries[11], time_ns()))
    assert (answer.map_id, answer.model_id, answer.matches[0].place_id) == (other.map_id, other.model_id, 11)
    wait_until(lambda: robot.heard["map_info"][-1].map_id == other.map_id, 10, "the latched message")


def test_damaged_map_is_refused_and_the_open_one_goes_on_answering(robot, street, map_path, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(map_path, damaged)
    with (damaged / "descriptors.npy").open("r+b") as file:
        file.truncate(1000)
    response = robot.call(LoadMap, "load_map", path=str(damaged))
    assert not response.success
    assert "descriptors.npy" in response.message
    assert response.info.map_id == PlaceMap.open(map_path).header.map_id
    assert robot.ask(raw(street.queries[12], time_ns())).matches[0].place_id == 12


@pytest.mark.parametrize("path", ["", "/nowhere/at/all", "/", "~nobody-here/map"])
def test_no_map_is_refused(robot, path):
    response = robot.call(LoadMap, "load_map", path=path)
    assert not response.success
    assert response.message
    assert response.info.map_id == robot.node.localizer.place_map.header.map_id


def test_map_of_another_model_is_refused_with_both_names(start, street, map_path, other_map_path):
    robot = start(map=map_path, weights=map_path / "model.safetensors")
    mine, other = (PlaceMap.open(path).header.model_id for path in (map_path, other_map_path))
    response = robot.call(LoadMap, "load_map", path=str(other_map_path))
    assert not response.success
    assert mine in response.message
    assert other in response.message
    assert robot.ask(raw(street.queries[13], time_ns())).model_id == mine


def test_unconfigured_node_says_why_it_opens_no_map(start, map_path):
    robot = start(autostart=False)
    response = robot.call(LoadMap, "load_map", path=str(map_path))
    assert not response.success
    assert "not configured" in response.message
    for kind, name in ((SaveMap, "save_map"), (Localize, "localize")):
        assert "load_map" in robot.call(kind, name).message


def test_saved_map_is_whole_and_can_be_opened(robot, map_path, tmp_path):
    target = tmp_path / "new folder" / "copy"
    for _ in range(2):  # the second time over a map that is there
        response = robot.call(SaveMap, "save_map", path=str(target))
        assert (response.success, response.path) == (True, str(target))
    assert PlaceMap.open(target, verify=True).header == PlaceMap.open(map_path).header
    assert [path.name for path in target.parent.iterdir()] == ["copy"]


def test_loaded_map_is_opened_again_when_the_node_is_configured_anew(start, map_path, other_map_path):
    robot = start(map=map_path)
    assert robot.call(LoadMap, "load_map", path=str(other_map_path)).success
    for label in ("deactivate", "cleanup", "configure"):
        assert robot.transition(label)
    assert robot.node.localizer.place_map.path == other_map_path


def test_relative_path_is_taken_from_the_working_folder_and_told(robot, map_path):
    response = robot.call(LoadMap, "load_map", path="relative/map")
    assert not response.success
    assert f"{Path.cwd()}/relative/map" in response.message
    assert response.info.path == str(map_path)
    assert "names no folder" in robot.call(LoadMap, "load_map").message


def test_map_is_saved_in_place(robot, map_path):
    assert robot.call(SaveMap, "save_map").success
    PlaceMap.open(map_path, verify=True)


def test_folder_that_is_no_map_is_left_alone(robot, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    response = robot.call(SaveMap, "save_map", path=str(tmp_path))
    assert not response.success
    assert "no map" in response.message
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_services_keep_to_the_folder_of_the_map(start, map_path, other_map_path, tmp_path):
    robot = start(map=map_path, maps_folder="")
    for path in (
        other_map_path,
        tmp_path / "nothing",
        map_path.parent / ".." / "other_map" / "map",
        "/etc/passwd",
    ):
        for kind, name in ((LoadMap, "load_map"), (SaveMap, "save_map")):
            response = robot.call(kind, name, path=str(path))
            assert not response.success
            assert f"{path} is not below {map_path.parent}" in response.message
    assert robot.call(LoadMap, "load_map", path=str(map_path)).success
    assert robot.call(SaveMap, "save_map", path=str(map_path)).success
    assert robot.set_parameter("maps_folder", "/")
    assert robot.node.localizer.place_map.path == map_path


def test_folder_with_a_map_json_of_somebody_else_is_left_alone(robot, tmp_path):
    (tmp_path / "map.json").write_text('{"type": "map"}')
    (tmp_path / "thesis.tex").write_text("years of work")
    response = robot.call(SaveMap, "save_map", path=str(tmp_path))
    assert not response.success
    assert "left alone" in response.message
    assert {path.name for path in tmp_path.iterdir()} == {"map.json", "thesis.tex"}


@pytest.mark.parametrize("kind", ["pipe", "device", "types", "surrogate"])
def test_map_json_that_is_none_is_refused_and_the_node_lives_on(robot, street, map_path, tmp_path, kind):
    bad = tmp_path / "bad"
    shutil.copytree(map_path, bad)
    header = bad / "map.json"
    values = json.loads(header.read_text())
    header.unlink()
    if kind == "pipe":
        os.mkfifo(header)
    elif kind == "device":
        header.symlink_to("/dev/zero")
    else:
        header.write_text(json.dumps({**values, "source": 5 if kind == "types" else "\ud800"}))
    response = robot.call(LoadMap, "load_map", path=str(bad))
    assert not response.success
    assert "map.json" in response.message
    assert response.info.path == str(map_path)
    assert robot.ask(raw(street.queries[12], time_ns())).matches[0].place_id == 12


def test_large_map_that_is_cut_short_under_the_node_is_lost_and_says_why(
    start, street, map_path, other_map_path, tmp_path, monkeypatch
):
    """Its places are ranked by the descriptors on disk."""
    pytest.importorskip("faiss")
    monkeypatch.setattr(search, "EXACT_UP_TO", 10)
    place = tmp_path / "map"
    shutil.copytree(map_path, place)
    robot = start(map=place)
    assert robot.ask(raw(street.queries[5], time_ns())).matches[0].place_id == 5
    os.truncate(place / "descriptors.npy", 1000)
    answer = robot.ask(raw(street.queries[5], time_ns()))
    assert (answer.state, list(answer.matches)) == (answer.LOST, [])
    assert "another program has changed the map" in answer.reason
    response = robot.call(Localize, "localize", image=raw(street.queries[5], time_ns()))
    assert "another program has changed the map" in response.message
    assert robot.call(LoadMap, "load_map", path=str(other_map_path)).success
    assert robot.ask(raw(street.queries[5], time_ns())).matches[0].place_id == 5


def test_map_that_is_cut_short_under_the_node(start, street, map_path, tmp_path):
    """The node answers from what it has opened; the picture that it can no longer show is left out."""
    place = tmp_path / "map"
    shutil.copytree(map_path, place)
    robot = start(map=place)
    expected = robot.node.localizer.place_map.pose(5).position.tolist()

    def has_shown_a_picture() -> bool:
        robot.ask(raw(street.queries[5], time_ns()))
        return bool(robot.heard["match_image"])

    wait_until(has_shown_a_picture, 20, "a picture")
    for path in place.iterdir():
        with path.open("r+b") as file:
            file.truncate(100)
    answer = robot.ask(raw(street.queries[5], time_ns()))
    position = answer.matches[0].pose.position
    assert (answer.matches[0].place_id, [position.x, position.y, position.z]) == (5, expected)
    robot.diagnostics(lambda _, values: any("another program has changed the map" in name for name in values))
    assert not robot.call(SaveMap, "save_map", path=str(tmp_path / "copy")).success


def test_map_that_changed_on_disk_is_not_saved_as_the_open_one(start, map_path, other_map_path, tmp_path):
    place = tmp_path / "map"
    shutil.copytree(map_path, place)
    robot = start(map=place)
    shutil.rmtree(place)
    shutil.copytree(other_map_path, place)
    response = robot.call(SaveMap, "save_map", path=str(tmp_path / "copy"))
    assert not response.success
    assert "no longer" in response.message
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("compressed", [False, True], ids=["raw", "compressed"])
def test_image_is_localized_on_request(robot, street, compressed):
    stamp = time_ns()
    fields = (
        {"compressed": jpeg(street.queries[14], stamp)}
        if compressed
        else {"image": raw(street.queries[14], stamp)}
    )
    response = robot.call(Localize, "localize", **fields)
    assert (response.success, response.message) == (True, "")
    assert response.matches.matches[0].place_id == 14
    assert response.matches.header.frame_id == "map"
    assert response.matches.header.stamp == next(iter(fields.values())).header.stamp
    assert response.has_pose == (response.matches.state == response.matches.LOCALIZED)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "no image"),
        ({"image": Image(height=2, width=2, encoding="rgb8", step=6, data=bytes(5))}, "cut off"),
        ({"compressed": CompressedImage(format="jpeg", data=b"no picture")}, "no picture"),
    ],
    ids=["empty", "cut off", "no picture"],
)
def test_request_with_a_wrong_image_is_answered_with_a_sentence(robot, fields, words):
    response = robot.call(Localize, "localize", **fields)
    assert not response.success
    assert words in response.message


def test_map_is_withdrawn_when_it_is_closed(start, map_path):
    robot = start(map=map_path)
    assert robot.transition("deactivate")
    assert robot.transition("cleanup")
    late: list[MapInfo] = []
    qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    robot._client.create_subscription(MapInfo, "localizer/map_info", late.append, qos)
    wait_until(lambda: late, 10, "the latched message")
    assert late[-1].map_id == ""
