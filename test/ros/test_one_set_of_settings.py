"""One parameter file for the commands and the node: the same drive gets the same answers from both."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep, time_ns

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")
from ament_index_python.packages import get_package_prefix
from nav_msgs.msg import Odometry
from rcl_interfaces.srv import GetParameters
from std_srvs.srv import Trigger

from netvlad_core.cli import main
from netvlad_core.data.geometry import Pose
from netvlad_core.data.trajectory import read_tum
from netvlad_core.localization.localizer_options import LocalizerOptions
from netvlad_core.localization.tracking.sequence_filter import State
from netvlad_core.settings import read_parameters, settings_of
from netvlad_ros.conversions import pose_to_message, stamp_from_nanoseconds, stamp_to_nanoseconds
from support.robot import Partner, raw, wait_until

_NAMESPACE = "/one_set_of_settings"


def _write(folder: Path, images: list[np.ndarray], poses: list[tuple[float, ...]], stamps: list[int]) -> Path:
    """A catalogue of a drive; stamps in nanoseconds."""
    folder.mkdir()
    rows = ["image,x,y,yaw,stamp"]
    for index, (image, pose, stamp) in enumerate(zip(images, poses, stamps, strict=True)):
        cv2.imwrite(str(folder / f"{index:02d}.png"), image[..., ::-1])
        x, y, yaw = (float(value) for value in pose)
        rows.append(f"{index:02d}.png,{x!r},{y!r},{yaw!r},{stamp // 10**9}.{stamp % 10**9:09d}")
    catalogue = folder / "drive.csv"
    catalogue.write_text("\n".join(rows) + "\n")
    return catalogue


@contextmanager
def _node(params: Path, map_path: Path) -> Iterator[Partner]:
    """The executable with a parameter file, as `ros2 run` starts it."""
    executable = Path(get_package_prefix("netvlad_ros")) / "lib" / "netvlad_ros" / "localize_node"
    command = [sys.executable, str(executable), "--ros-args", "-r", f"__ns:={_NAMESPACE}"]
    command += ["--params-file", str(params), "-p", f"map:={map_path}"]
    process = subprocess.Popen(command)
    partner = Partner(_NAMESPACE)
    try:
        partner.wait_until_it_answers()
        yield partner
    finally:
        partner.close()
        process.kill()
        process.wait()


def _show(
    partner: Partner, images: list[np.ndarray], poses: list[tuple[float, ...]]
) -> list[tuple[int, str, int]]:
    """Drive past the images; returns stamp, state and place of each answer."""
    wait_until(partner.odometry.get_subscription_count, 10, "the subscription of odometry")
    _pass(partner, images[:1], poses[:1])  # images wait for their odometry once there has been some
    assert partner.call(Trigger, "relocalize").success
    return _pass(partner, images, poses)


def _pass(
    partner: Partner, images: list[np.ndarray], poses: list[tuple[float, ...]]
) -> list[tuple[int, str, int]]:
    answers = []
    for image, (x, y, yaw) in zip(images, poses, strict=True):
        stamp = time_ns()
        message = Odometry(child_frame_id="base_link")
        message.header.frame_id = "odom"
        message.header.stamp = stamp_from_nanoseconds(stamp)
        # Where the origin of odometry lies makes no difference.
        message.pose.pose = pose_to_message(Pose.from_xyz_yaw(x - 40, y + 7, yaw=yaw))
        partner.odometry.publish(message)
        answer = partner.ask(raw(image, stamp))
        answers.append((stamp_to_nanoseconds(answer.header.stamp), State(answer.state).name, answer.place_id))
        sleep(0.2)  # no robot jumps
    return answers


@pytest.mark.parametrize("file", ["of calibrate", "nested and namespaced"])
def test_the_node_and_the_commands_give_the_same_answers(ros, street, map_path, tmp_path, capsys, file):
    """On the map, then off it, where nothing resembles a place."""
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (480, 640, 3), np.uint8) for _ in range(8)]
    images = [*street.queries, *noise]
    last_x, last_y, last_yaw = street.poses[-1]
    poses = [tuple(pose) for pose in street.poses]
    poses += [(last_x + 8 * step, last_y, last_yaw) for step in range(1, 1 + len(noise))]

    stamps = [(100 + second) * 10**9 for second in range(len(images))]
    params = tmp_path / "campus.yaml"
    if file == "of calibrate":
        drive = _write(tmp_path / "calibration", images, poses, stamps)
        arguments = [str(map_path), str(drive), "--quiet", "--output", str(params)]
        assert main(["calibrate", *arguments]) == 0
    else:
        params.write_text(
            f"{_NAMESPACE}/localizer:\n  ros__parameters:\n    top_k: 4\n    min_belief: 0.5\n"
            "    sequence.habit: 15.0\n    sequence:\n      sharpness: 0.35\n"
            "      leave: 2.0e-2\n      gap_range: [-1.0, 3.0]\n"
        )
    chosen = read_parameters(params, settings_of(LocalizerOptions()))

    with _node(params, map_path) as partner:
        values = partner.call(GetParameters, "get_parameters", names=list(chosen)).values
        answers = _show(partner, images, poses)
    kinds = {bool: "bool_value", int: "integer_value", float: "double_value", str: "string_value"}
    kinds[list] = "double_array_value"
    for (name, value), found in zip(chosen.items(), values, strict=True):
        in_node = getattr(found, kinds[type(value)])
        assert (list(in_node) if isinstance(value, list) else in_node) == value, name

    drive = _write(tmp_path / "drive", images, poses, [stamp for stamp, _, _ in answers])
    table = tmp_path / "answers.csv"
    common = [str(map_path), str(drive), "--params", str(params), "--quiet"]
    assert main(["localize", *common, "--output", str(table)]) == 0
    with table.open() as lines:
        rows = [(row["state"], int(row["place"])) for row in csv.DictReader(lines)]
    assert rows == [(state, place) for _, state, place in answers]

    capsys.readouterr()
    assert main(["evaluate", *common, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    states = [state for _, state, _ in answers]
    assert result["states"] == {state.name: states.count(state.name) for state in State}
    assert result["states"]["LOCALIZED"] > 5
    assert result["states"]["LOST"] > 0
    assert len(partner.heard["pose"]) == len(read_tum(table.with_suffix(".tum")))
    assert chosen.items() <= result["settings"].items()
