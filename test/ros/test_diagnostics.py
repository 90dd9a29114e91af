"""Counts, skips and durations become the values of a status."""

from __future__ import annotations

from threading import Thread

import pytest

pytest.importorskip("rclpy")
from diagnostic_msgs.msg import DiagnosticStatus

from netvlad_ros.diagnostics import Statistics, status_message


def test_counts_skips_and_medians():
    statistics = Statistics()
    statistics.count("images received")
    statistics.count("images received")
    statistics.skip("it was dark")
    for seconds in (0.001, 0.002, 0.100):
        statistics.record("network", seconds)
    values = statistics.values()
    assert values["images received"] == "2"
    assert values["images skipped"] == values["skipped: it was dark"] == "1"
    assert values["network (ms, median of 3)"] == "2.0"


def test_only_the_recent_past_counts_for_durations():
    statistics = Statistics()
    for seconds in [1.0] * 500 + [0.01] * 100:
        statistics.record("network", seconds)
    assert statistics.values()["network (ms, median of 100)"] == "10.0"


def test_ever_new_reasons_do_not_fill_the_memory():
    statistics = Statistics()
    for size in range(1000):
        statistics.skip(f"JPEG of {size} bytes is cut off")
    values = statistics.values()
    assert values["images skipped"] == "1000"
    assert len(values) < 30
    assert int(values["skipped: other reasons"]) > 900


def test_block_is_timed_and_a_failed_one_is_not():
    statistics = Statistics()
    with statistics.timed("decode"):
        pass
    with pytest.raises(ValueError, match="broken"), statistics.timed("decode"):
        raise ValueError("broken")
    assert "decode (ms, median of 1)" in statistics.values()


def test_threads_do_not_lose_counts():
    statistics = Statistics()
    threads = [Thread(target=lambda: [statistics.count("x") for _ in range(2000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statistics.values()["x"] == "8000"


@pytest.mark.parametrize(
    ("problem", "level", "message"),
    [(None, DiagnosticStatus.OK, "working"), ("no image", DiagnosticStatus.WARN, "no image")],
)
def test_status(problem, level, message):
    status = status_message("/localizer", "/camera", problem, {"images": "3"})
    assert (status.level, status.message, status.name) == (level, message, "/localizer")
    assert (status.values[0].key, status.values[0].value) == ("images", "3")
