"""The node: answers over DDS are right, prompt and about the newest image; bad input does not stop it."""

from __future__ import annotations

from functools import partial
from time import monotonic, sleep, time_ns

import numpy as np
import pytest

pytest.importorskip("rclpy")
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import CompressedImage, Image

from netvlad_core.errors import MapError
from netvlad_ros.conversions import stamp_to_nanoseconds
from netvlad_ros.msg import PlaceMatches
from support.robot import jpeg, raw, values_of, wait_until


@pytest.fixture(autouse=True)
def _fresh(request):
    if "robot" in request.fixturenames:
        robot = request.getfixturevalue("robot")
        robot.reset_parameters()
        robot.heard.clear()


# --- Answers ------------------------------------------------------------------------------------------------


def test_answer_is_the_place_and_carries_stamp_and_frame(robot, street, map_path):
    stamp = time_ns()
    matches = robot.ask(raw(street.queries[5], stamp))
    assert matches.header.frame_id == "map"
    assert matches.matches[0].place_id == 5
    assert len(matches.matches) == 10
    similarities = [match.similarity for match in matches.matches]
    assert similarities == sorted(similarities, reverse=True)
    position = matches.matches[0].pose.position
    np.testing.assert_allclose([position.x, position.y], street.poses[5, :2], atol=1e-6)
    assert (matches.map_id, matches.model_id) == (
        robot.node.localizer.place_map.header.map_id,
        robot.node.localizer.extractor.model_id,
    )


def test_all_outputs_are_about_the_same_image(robot, street):
    robot.set_parameter("sequence_filter", False)
    robot.set_parameter("min_similarity", 0.0)
    robot.set_parameter("min_agreement", 0.0)
    stamp = time_ns()
    robot.ask(raw(street.queries[7], stamp))
    names = ("matches", "pose", "descriptor", "match_image")
    wait_until(lambda: all(robot.heard[name] for name in (*names, "markers")), 10, "all outputs")
    headers = {name: robot.heard[name][-1].header for name in names}
    headers["markers"] = robot.heard["markers"][-1].markers[0].header
    assert {stamp_to_nanoseconds(header.stamp) for header in headers.values()} == {stamp}
    frames = {name: header.frame_id for name, header in headers.items()}
    optical = dict.fromkeys(("descriptor", "match_image"), "camera")
    assert frames == {"matches": "map", "pose": "map", "markers": "map", **optical}
    descriptor = robot.heard["descriptor"][-1]
    assert np.linalg.norm(descriptor.descriptor) == pytest.approx(1, abs=1e-4)
    pose = robot.heard["pose"][-1].pose
    covariance = np.array(pose.covariance).reshape(6, 6)
    assert (np.linalg.eigvalsh(covariance) > 0).all()
    assert np.hypot(pose.pose.position.x - street.poses[7, 0], pose.pose.position.y - street.poses[7, 1]) < 20


# --- Parameters at run time ---------------------------------------------------------------------------------


def test_number_of_matches_changes_live(robot, street):
    for top_k in (1, 3, 1000):
        assert robot.set_parameter("top_k", top_k) is None
        matches = robot.ask(raw(street.queries[0], time_ns())).matches
        assert len(matches) == min(top_k, len(street.images))


def test_too_high_a_threshold_is_lost_and_silent(robot, street):
    robot.set_parameter("sequence_filter", False)
    assert robot.set_parameter("min_similarity", 1.0) is None
    answer = robot.ask(raw(street.queries[0], time_ns()))
    assert answer.state == PlaceMatches.LOST
    robot.set_parameter("min_similarity", 0.0)
    robot.set_parameter("min_agreement", 0.0)
    assert robot.ask(raw(street.queries[1], time_ns())).state == PlaceMatches.LOCALIZED
    robot.set_parameter("min_agreement", 1.0)
    robot.set_parameter("agreement_radius", 0.0)
    robot.heard.clear()
    assert robot.ask(raw(street.queries[2], time_ns())).state == PlaceMatches.AMBIGUOUS
    assert not robot.heard["pose"]


def test_descriptor_can_be_left_out(robot, street):
    robot.set_parameter("publish_descriptor", False)
    robot.ask(raw(street.queries[0], time_ns()))
    robot.ask(raw(street.queries[1], time_ns()))
    assert not robot.heard["descriptor"]


def test_parameter_read_at_configuring_changes_nothing_before(robot, street):
    assert robot.set_parameter("map_frame", "world") is None
    assert robot.ask(raw(street.queries[0], time_ns())).header.frame_id == "map"
    assert robot.set_parameter("map_frame", "") is None


# --- Bad input ----------------------------------------------------------------------------------------------


def _short_jpeg(image: np.ndarray, stamp: int) -> CompressedImage:
    message = jpeg(image, stamp)
    message.data = message.data[: len(message.data) // 2]
    return message


def _spoiled(image: np.ndarray, stamp: int, **fields: object) -> Image:
    message = raw(image, stamp)
    for name, value in fields.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda i, s: _spoiled(i, s, height=0, width=0, step=0, data=b""), "empty"),
        (lambda i, s: _spoiled(i, s, encoding="32FC1"), "not known"),
        (lambda i, s: _spoiled(i, s, step=7), "step"),
        (lambda i, s: _spoiled(i, s, data=bytes(100)), "cut off"),
        (lambda i, s: raw(i[:8, :8].copy(), s), "too small"),
    ],
    ids=["0x0", "encoding", "step", "data", "tiny"],
)
def test_wrong_image_is_counted_and_the_node_lives_on(robot, street, spoil, words):
    before = int(robot.node.statistics.values()["images left out"])
    robot.publish(spoil(street.queries[0], time_ns()))
    wait_until(lambda: int(robot.node.statistics.values()["images left out"]) > before, 10, "the skip")
    status = robot.diagnostics(lambda message, values: words in message)
    assert status.level in (DiagnosticStatus.WARN, DiagnosticStatus.ERROR)
    kinds = [key for key in values_of(status) if key.startswith("images left out: ")]
    assert 0 < max(map(len, kinds)) < 90
    assert robot.ask(raw(street.queries[3], time_ns())).matches[0].place_id == 3
    robot.diagnostics(lambda message, values: message == "working")


def test_truncated_jpeg_is_counted_and_the_node_lives_on(start, street, map_path):
    robot = start(map=map_path, image_transport="compressed")
    robot.wait_until_it_answers("compressed")
    robot.publish(_short_jpeg(street.queries[0], time_ns()))
    robot.diagnostics(lambda message, values: "JPEG" in message and "cut off" in message)
    assert robot.ask(jpeg(street.queries[4], time_ns())).matches[0].place_id == 4


def test_images_without_a_stamp_are_answered_at_their_arrival_and_reported(start, street, map_path, capfd):
    robot = start(map=map_path)
    began = time_ns()

    def is_recognized(place: int) -> bool:
        robot.publish(raw(street.queries[place], 0))
        sleep(0.3)
        return any(answer.matches[0].place_id == place for answer in robot.heard["matches"])

    for place in (2, 3, 4):
        wait_until(partial(is_recognized, place), 20, f"place {place}")
    for answer in robot.heard["matches"]:
        assert began < stamp_to_nanoseconds(answer.header.stamp) < time_ns()
    status = robot.diagnostics(lambda message, values: "have no stamp" in message)
    assert status.level == DiagnosticStatus.WARN
    assert int(values_of(status)["images without a stamp"]) >= 3
    robot.heard["diagnostics"].clear()
    robot.diagnostics(lambda message, values: "have no stamp" in message)
    assert capfd.readouterr().err.count("have no stamp") == 1


def test_clock_is_set_back_by_three_images_and_by_no_single_one(start, street, map_path):
    robot = start(map=map_path)
    robot.ask(raw(street.queries[0], time_ns()))
    robot.publish(raw(street.queries[1], 10**9))
    robot.diagnostics(lambda message, values: values.get("images left out: stamp of another clock") == "1")
    assert robot.ask(raw(street.queries[2], time_ns())).matches[0].place_id == 2
    for number in (1, 2):
        robot.publish(raw(street.queries[1], (10 + number) * 10**9))
        sleep(0.2)
    assert robot.ask(raw(street.queries[3], 13 * 10**9)).matches[0].place_id == 3
    robot.diagnostics(lambda message, values: values.get("clock of the images set back") == "1")


def test_failure_behind_the_network_does_not_end_the_worker(robot, street, monkeypatch):
    def damaged(place: int) -> None:
        raise MapError(f"the image of place {place} is damaged")

    monkeypatch.setattr(robot.node.localizer.place_map, "image", damaged)
    robot.ask(raw(street.queries[0], time_ns()))
    robot.diagnostics(lambda message, values: "is damaged" in message)
    monkeypatch.undo()
    assert robot.ask(raw(street.queries[6], time_ns())).matches[0].place_id == 6


# --- Age ----------------------------------------------------------------------------------------------------


def test_slow_network_works_on_young_images_and_counts_those_overtaken(
    start, street, map_path, record_property, monkeypatch
):
    """The network takes 0.2 s more than it does, the camera sends every 33 ms: lateness must not pile up."""
    robot = start(map=map_path)
    robot.wait_until_it_answers()
    wait_until(lambda: _is_idle(robot), 10, "the end of the first images")
    before = robot.node.statistics.values()
    ages, durations = [], []
    observe = robot.node.localizer.observe

    def observe_slowly(image, stamp, *arguments, **options):
        taken = time_ns()
        ages.append((taken - stamp) / 1e9)
        sleep(0.2)
        observation = observe(image, stamp, *arguments, **options)
        durations.append((time_ns() - taken) / 1e9)
        return observation

    observe_slowly.features = observe.features  # type: ignore[attr-defined]
    monkeypatch.setattr(robot.node.localizer, "observe", observe_slowly)
    started = monotonic()
    for number in range(90):
        sleep(max(0.0, started + number / 30 - monotonic()))
        robot.publish(raw(street.queries[number % len(street.queries)], time_ns()))
    wait_until(lambda: _is_idle(robot), 10, "the end of the last images")
    after = robot.node.statistics.values()
    received, localized, overtaken = (
        int(after[name]) - int(before.get(name, "0"))
        for name in ("images received", "images used", "images overtaken by a newer one")
    )
    inference = float(np.median(durations))
    record_property("oldest image taken in work, inference times", float(max(ages) / inference))
    print(f"\n{len(ages)} images in work, inference {inference:.3f} s, age at most {max(ages):.3f} s")
    assert inference > 0.2
    assert max(ages) < 2 * inference
    assert localized == len(ages)
    assert overtaken == received - localized > 0


def _is_idle(robot) -> bool:
    values = robot.node.statistics.values()
    received, *worked = (
        int(values.get(name, "0"))
        for name in ("images received", "images used", "images left out", "images overtaken by a newer one")
    )
    return received == sum(worked)
