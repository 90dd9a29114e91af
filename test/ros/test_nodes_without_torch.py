"""A robot without torch: build-map with the packaged network, then both nodes on two laps of a street."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import sleep, time_ns
from typing import Any

import pytest

pytest.importorskip("rclpy")
from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile
from std_msgs.msg import Header

from netvlad_core.data.geometry import Pose
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_ros.conversions import pose_to_message, stamp_from_nanoseconds
from netvlad_ros.msg import GlobalDescriptor, LoopClosure
from support.robot import Partner, raw, wait_until
from support.without_torch import COMMAND, NODE, program_without_torch, without_torch

_NAMESPACE = "/bare"
_EVERY_ONE = QoSProfile(depth=100)
# From the end of the street back to its beginning in one step: 207 m, at less than 100 m/s.
_STEP = 3 * 10**9


@pytest.fixture(scope="module")
def packaged_map(street: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bare")
    catalogue = street.write(folder / "street")
    without_torch(
        COMMAND, "build-map", catalogue, "--weights", "packaged", "--output", folder / "map", "--quiet"
    )
    return folder / "map"


@pytest.fixture
def partner(ros: None, packaged_map: Path) -> Iterator[Partner]:
    """The other side of both nodes, each in a process of its own, which ends cleanly."""
    parameters = {
        "localize_node": [f"map:={packaged_map}", "odometry_wait:=5.0"],
        "loop_closure_node": ["weights:=packaged", "verification:=false", "odometry_wait:=5.0"],
    }
    processes = []
    for name, values in parameters.items():
        options = ["-r", f"__ns:={_NAMESPACE}", *(word for value in values for word in ("-p", value))]
        command = program_without_torch(NODE, name, "--ros-args", *options)
        processes.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        )
    partner = Partner(_NAMESPACE)
    yield partner
    partner.close()
    for process in processes:
        process.send_signal(signal.SIGINT)
        log, _ = process.communicate(timeout=20)
        assert process.returncode == 0, log
        assert "Traceback" not in log
        assert "OpenVINO" in log


def _shown(partner: Partner, described: list[Any], image: Any, odometry: Odometry) -> Any:
    """Show a keyframe until the localizer answers, give the other node time for it; returns the matches."""
    partner.odometry.publish(odometry)
    sleep(0.02 if described else 1.0)  # images wait for odometry once there is some
    answer = partner.ask(image)
    with suppress(TimeoutError):  # best effort may lose an image
        wait_until(lambda: described and described[-1].header.stamp == image.header.stamp, 5, "it")
    return answer


def test_both_nodes_work(partner: Partner, packaged_map: Path, street: Any) -> None:
    described = partner.listen("loop_closer/descriptor", GlobalDescriptor, _EVERY_ONE)
    closures = partner.listen("loop_closer/loop_closures", LoopClosure, _EVERY_ONE)
    camera, odometry = partner.cameras[type(raw(street.images[0], 0))], partner.odometry
    wait_until(lambda: camera.get_subscription_count() == 2, 30, "both nodes to hear the camera")
    wait_until(lambda: odometry.get_subscription_count() == 2, 30, "both nodes to hear the odometry")
    count = len(street.images)
    start = time_ns() - 2 * count * _STEP
    for number, image in enumerate([*street.images, *street.queries]):
        stamp = start + number * _STEP
        x, y, yaw = street.poses[number % count]
        message = Odometry(header=Header(stamp=stamp_from_nanoseconds(stamp), frame_id="odom"))
        message.child_frame_id = "base_link"
        message.pose.pose = pose_to_message(Pose.from_xyz_yaw(x, y, yaw=yaw))
        answer = _shown(partner, described, raw(image, stamp), message)
        assert answer.matches[0].place_id == number % count
        assert answer.model_id == PlaceMap.open(packaged_map).header.model_id
    wait_until(lambda: closures, 10, "closures of the second lap")
    assert {message.model_id for message in described} == {answer.model_id}
