"""The executable as `ros2 run` starts it, in a process of its own: a camera at 30 Hz, and how it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from time import monotonic, sleep, time_ns
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
from netvlad_ros.conversions import stamp_to_nanoseconds
from netvlad_ros.msg import PlaceMatches
from support.robot import Partner, jpeg, raw, wait_until

_numbers = count()


@contextmanager
def _process(programs: Path, **parameters: Any) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the node; yields the process and its namespace."""
    namespace = f"/process_{next(_numbers)}"
    options = [text for name, value in parameters.items() for text in ("-p", f"{name}:={value}")]
    command = [
        sys.executable,
        str(programs / "localize_node"),
        "--ros-args",
        "-r",
        f"__ns:={namespace}",
        *options,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process, namespace
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(("transport", "ending"), [("raw", signal.SIGINT), ("compressed", signal.SIGTERM)])
def test_camera_at_30_hz_that_goes_and_comes_back(
    ros, programs, street, map_path, transport, ending, record_property
):
    """Every match belongs to an image that was sent, and names the place which that image shows."""
    latencies: list[float] = []
    with _process(programs, map=map_path, image_transport=transport) as (process, namespace):
        for images in (90, 30):  # each time another camera
            partner = Partner(namespace)
            partner.wait_until_it_answers(transport)
            partner.heard.clear()
            shown = _drive(partner, street.queries, images, transport)
            sleep(1.0)
            partner.close()
            latencies += _check(partner, shown, street)
        process.send_signal(ending)
        log, _ = process.communicate(timeout=20)
    assert process.returncode == 0, log
    assert "Traceback" not in log
    median, most = np.percentile(latencies, (50, 95))
    record_property("latency in ms, median and 95 %", [float(median), float(most)])
    print(f"\n{transport}: {len(latencies)} of 120 answered, {median:.0f} ms median, {most:.0f} ms 95 %")


def _check(partner: Partner, shown: dict[int, int], street: Any) -> list[float]:
    """Compare all that was heard with what was shown; returns the latencies in ms."""
    answers, poses = partner.heard["matches"], partner.heard["pose"]
    stamps = [stamp_to_nanoseconds(answer.header.stamp) for answer in answers]
    assert len(stamps) > 3
    assert stamps == sorted(set(stamps))
    assert set(stamps) <= set(shown)
    for stamp, answer in zip(stamps, answers, strict=True):
        assert answer.matches[0].place_id == shown[stamp]
    for message in poses:
        truth = street.poses[shown[stamp_to_nanoseconds(message.header.stamp)]]
        position = message.pose.pose.position
        assert np.hypot(position.x - truth[0], position.y - truth[1]) < 10
    assert len(poses) == sum(answer.state == PlaceMatches.LOCALIZED for answer in answers)
    return [(partner.arrivals[stamp] - stamp) / 1e6 for stamp in stamps]


def _drive(partner: Partner, images: list[np.ndarray], sent: int, transport: str) -> dict[int, int]:
    """Show the places in an order in which neighbours in time are none in space; returns place by stamp."""
    make = raw if transport == "raw" else jpeg
    messages = [make(image, 0) for image in images]
    shown = {}
    started = monotonic()
    for number in range(sent):
        place = number * 7 % len(images)
        sleep(max(0.0, started + number / 30 - monotonic()))
        stamp = time_ns()
        shown[stamp] = place
        messages[place].header.stamp.sec, messages[place].header.stamp.nanosec = divmod(stamp, 10**9)
        partner.publish(messages[place])
    return shown


def test_it_ends_cleanly_while_it_opens_the_map(ros, programs, map_path):
    with _process(programs, map=map_path) as (process, namespace):
        partner = Partner(namespace)
        wait_until(lambda: partner.publishers().get(f"{namespace}/localizer/map_info"), 60, "the node")
        process.send_signal(signal.SIGTERM)
        log, _ = process.communicate(timeout=20)
        partner.close()
    assert process.returncode == 0, log
    assert "Traceback" not in log
