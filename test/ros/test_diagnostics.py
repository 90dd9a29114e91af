"""Counts, skips and durations become the values of a status."""

from __future__ import annotations

from threading import Thread
from time import monotonic

import pytest

pytest.importorskip("rclpy")
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node

from netvlad_ros.diagnostics import WINDOW, HealthReport, Problem, Statistics, kind_of, status_message


def test_counts_skips_and_medians():
    statistics = Statistics()
    statistics.count("images received")
    statistics.count("images received")
    statistics.leave_out("images", "it was dark")
    for seconds in (0.001, 0.002, 0.100):
        statistics.record("network", seconds)
    values = statistics.values()
    assert values["images received"] == "2"
    assert values["images left out"] == values["images left out: it was dark"] == "1"
    assert values["network (ms, median of 3)"] == "2.0"


def test_only_the_recent_past_counts_for_durations():
    statistics = Statistics()
    for seconds in [1.0] * 500 + [0.01] * 100:
        statistics.record("network", seconds)
    assert statistics.values()["network (ms, median of 100)"] == "10.0"


def test_ever_new_reasons_do_not_fill_the_memory():
    statistics = Statistics()
    for number in range(1000):
        word = "".join("abcdefghij"[int(digit)] for digit in str(number))
        statistics.leave_out("images", f"reason {word}")
    values = statistics.values()
    assert values["images left out"] == "1000"
    assert len(values) < 30
    assert int(values["images left out: other reasons"]) > 900


def test_block_is_timed_and_a_failed_one_is_not():
    statistics = Statistics()
    with statistics.timed("decode"):
        pass
    with pytest.raises(ValueError, match="broken"), statistics.timed("decode"):
        raise ValueError("broken")
    assert "decode (ms, median of 1)" in statistics.values()


def test_threads_do_not_lose_counts():
    statistics = Statistics()

    def count() -> None:
        for _ in range(2000):
            statistics.count("x")

    threads = [Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statistics.values()["x"] == "8000"


@pytest.mark.parametrize(
    ("problems", "level", "message"),
    [
        ([], DiagnosticStatus.OK, "working"),
        ([Problem("silence", "no image")], DiagnosticStatus.WARN, "no image"),
        (
            [Problem("map", "no map", is_fatal=True), Problem("silence", "no image")],
            DiagnosticStatus.ERROR,
            "no map; no image",
        ),
    ],
)
def test_status_is_as_bad_as_its_worst_problem(problems, level, message):
    status = status_message("/localizer", "/camera", problems, {"images": "3"})
    assert (status.level, status.message, status.name) == (level, message, "/localizer")
    assert (status.values[0].key, status.values[0].value) == ("images", "3")


def test_recent_messages_are_counted_by_kind(monkeypatch):
    statistics = Statistics()
    for size in (3, 4):
        statistics.leave_out("images", f"JPEG of {size} bytes is cut off")
    statistics.take("images")
    recent = statistics.recent("images")
    assert (recent.total, recent.share, recent.last_kind) == (3, 2 / 3, "")
    assert recent.left_out == {"JPEG of bytes is cut off": 2}
    assert recent.main_reason == "JPEG of 4 bytes is cut off"
    later = monotonic() + 1.01 * WINDOW
    monkeypatch.setattr("netvlad_ros.diagnostics.monotonic", lambda: later)
    assert statistics.recent("images").total == 0


def test_order_of_the_values_does_not_depend_on_what_came_first():
    one, other = Statistics(), Statistics()
    for statistics, names in ((one, "ab"), (other, "ba")):
        for name in names:
            statistics.count(name)
            statistics.take(f"{name}s")
            statistics.leave_out(f"{name}s", "late")
            statistics.record(name, 0.1)
    assert list(one.values()) == list(other.values())


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("image encoding 'foo' is not known; expected one of 8UC1, 8UC3", "image encoding is not known"),
        ("RuntimeError: CUDA out of memory", "RuntimeError"),
        ("'a' 1 2", "other reasons"),
        ("x" * 300, "x" * 60),
    ],
)
def test_kind_of_a_reason_is_short_and_without_figures(reason, kind):
    assert kind_of(reason) == kind


def test_problem_is_logged_when_it_begins_and_when_it_is_over(ros, capfd, monkeypatch):
    node = Node("report_of_problems")
    problems: list[Problem] = []
    report = HealthReport(node, Statistics(), lambda: problems, dict)
    for second in range(100):
        # From 10 to 40, but for some seconds between, and with another figure each time.
        is_there = 10 <= second < 40 and second % 10 < 5
        problems[:] = [Problem("no images", f"no image for {second} s")] if is_there else []
        monkeypatch.setattr("netvlad_ros.diagnostics.monotonic", lambda second=second: float(second))
        report._publish()
    node.destroy_node()
    lines = [line for line in capfd.readouterr().err.splitlines() if "no image" in line]
    assert len(lines) == 2
    assert "WARN" in lines[0]
    assert lines[0].endswith(": no image for 10 s")
    assert lines[1].endswith(": no longer: no image for 10 s")
