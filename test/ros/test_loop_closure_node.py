"""The loop closure node over DDS: images and odometry of two laps in, closures between them out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from time import sleep
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.localizer import Localizer
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_ros.conversions import pose_from_message, pose_to_message, stamp_from_nanoseconds
from netvlad_ros.executor import ThreadedExecutor
from netvlad_ros.loop_closure_node import LoopClosureNode
from netvlad_ros.msg import GlobalDescriptor, LoopClosure
from netvlad_ros.srv import LoadMap, SaveMap
from support.robot import raw, values_of, wait_until

_START = 10**18
# From the end of the street back to its beginning in one step: 207 m, at less than 100 m/s.
_STEP = 3 * 10**9


class Drive(Node):
    """Publishes images with odometry and hears the closures."""

    def __init__(self, namespace: str) -> None:
        super().__init__("drive", namespace=namespace)
        self.images = self.create_publisher(Image, "image", qos_profile_sensor_data)
        self.poses = self.create_publisher(Odometry, "odom", QoSProfile(depth=100))
        self.calibrations = self.create_publisher(CameraInfo, "camera_info", qos_profile_sensor_data)
        self.closures: list[LoopClosure] = []
        self.closer: Any = None
        self.statuses: list[Any] = []
        self.create_subscription(
            DiagnosticArray, "/diagnostics", lambda message: self.statuses.extend(message.status), 10
        )
        self.described: list[GlobalDescriptor] = []
        self.create_subscription(
            LoopClosure, "loop_closer/loop_closures", self.closures.append, QoSProfile(depth=100)
        )

        self.create_subscription(
            GlobalDescriptor, "loop_closer/descriptor", self.described.append, QoSProfile(depth=100)
        )

    def show(self, number: int, image: np.ndarray, pose: np.ndarray) -> None:
        """Publish a keyframe and wait until the node has described it."""
        stamp = _START + number * _STEP
        message = Odometry(header=Header(stamp=stamp_from_nanoseconds(stamp), frame_id="odom"))
        message.child_frame_id = "base_footprint"
        message.pose.pose = pose_to_message(Pose.from_xyz_yaw(pose[0], pose[1], yaw=pose[2]))
        self.poses.publish(message)
        if not self.described:
            sleep(0.3)  # images wait for odometry once there is some
        picture = raw(image, stamp)
        self.images.publish(picture)

        def is_described() -> bool:
            return bool(self.described) and self.described[-1].header.stamp == picture.header.stamp

        wait_until(is_described, 30, f"the descriptor of image {number}")

    def save(self, path: Any) -> SaveMap.Response:
        return self.call(SaveMap, "save_map", path=str(path))

    def call(self, kind: Any, name: str, **fields: Any) -> Any:
        client: Any = self.create_client(kind, f"loop_closer/{name}")
        assert client.wait_for_service(10)
        future = client.call_async(kind.Request(**fields))
        wait_until(future.done, 20, f"an answer of {name}")
        return future.result()

    def status(self) -> Any:
        """The newest diagnostics of the node."""
        mine = f"{self.get_namespace()}/loop_closer"
        wait_until(lambda: any(s.name == mine for s in self.statuses), 10, "diagnostics")
        return [status for status in self.statuses if status.name == mine][-1]


@pytest.fixture
def run(ros: None, map_path: Any) -> Iterator[Any]:
    """Start the node with parameters; returns the other side of it."""
    running: list[Any] = []

    def start(namespace: str, **parameters: Any) -> Drive:
        by_look = {
            "weights": str(map_path / "model.safetensors"),
            "verification": False,
            "base_frame": "base_footprint",
            "maps_folder": "/",
        }
        parameters = {**by_look, **parameters}
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        closer = LoopClosureNode(namespace=namespace, parameter_overrides=overrides)
        drive = Drive(namespace)
        executor = ThreadedExecutor(num_threads=4)
        executor.add_node(closer)
        executor.add_node(drive)
        thread = Thread(target=executor.spin, daemon=True)
        thread.start()
        running.extend([executor, thread, closer, drive])
        drive.closer = closer
        wait_until(
            lambda: drive.images.get_subscription_count() and drive.poses.get_subscription_count(),
            20,
            "the node to listen",
        )
        return drive

    yield start
    if running:
        executor, thread, closer, drive = running
        executor.shutdown()
        thread.join(timeout=10)
        closer.destroy_node()
        drive.destroy_node()


def test_second_lap_closes_on_the_first(run: Any, street: Any) -> None:
    drive = run("/laps")
    count = len(street.images)
    for number, (image, pose) in enumerate(zip(street.images, street.poses, strict=True)):
        drive.show(number, image, pose)
    for number, (image, pose) in enumerate(zip(street.queries, street.poses, strict=True)):
        drive.show(count + number, image, pose)
    wait_until(lambda: len(drive.closures) > count // 4, 10, "closures")
    for closure in drive.closures:
        assert closure.header.frame_id == "base_footprint"
        assert closure.header.stamp == closure.to_stamp
        first = (closure.from_stamp.sec * 10**9 - _START) // _STEP
        second = (closure.to_stamp.sec * 10**9 - _START) // _STEP
        there, here = street.poses[first % count, :2], street.poses[second % count, :2]
        assert second - first > count // 2
        assert np.linalg.norm(there - here) < 12
        assert np.linalg.norm(pose_from_message(closure.relative_pose.pose).position) < 12
        covariance = np.array(closure.relative_pose.covariance).reshape(6, 6)
        assert (np.linalg.eigvalsh(covariance) > 0).all()
        assert closure.inliers == 0
        assert 0 < closure.similarity <= 1


def test_drive_is_saved_as_a_map_and_extended(run: Any, street: Any, map_path: Any, tmp_path: Any) -> None:
    drive = run("/saved", weights="", map=str(map_path))
    assert "no keyframe" in drive.save(tmp_path / "early").message
    for number, (image, pose) in enumerate(zip(street.queries, street.poses, strict=True)):
        drive.show(number, image, pose)
    wait_until(lambda: drive.closures, 10, "a closure with the map")
    assert drive.closures[0].from_id < len(street.images)
    assert drive.save(tmp_path / "both").success
    earlier, saved = (PlaceMap.open(path, verify=True) for path in (map_path, tmp_path / "both"))
    assert len(saved) == 2 * len(street.images)
    np.testing.assert_array_equal(saved.poses[: len(earlier)], earlier.poses)
    assert Localizer.open(saved.path)(street.images[3]).matches[0].place in (3, 3 + len(earlier))
    assert "names no folder" in drive.save("").message
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a").touch()
    assert "left alone" in drive.save(tmp_path / "letters").message


def test_no_map_is_written_where_the_parameters_name_no_folder(run: Any, street: Any, tmp_path: Any) -> None:
    drive = run("/nowhere", maps_folder="")
    drive.show(0, street.images[0], street.poses[0])
    assert "no map may be written" in drive.save(tmp_path / "map").message
    assert not (tmp_path / "map").exists()


def test_geometry_counts_inliers_and_the_map_keeps_images(run: Any, street: Any, tmp_path: Any) -> None:
    extrinsics = "0.5 0 1.5 -0.5 0.5 -0.5 0.5"
    drive = run("/verified", verification=True, store_images="full", extrinsics=extrinsics, most_keyframes=40)
    height, width = street.images[0].shape[:2]
    info = CameraInfo(width=width, height=height, distortion_model="plumb_bob")
    info.k = [500.0, 0.0, width / 2, 0.0, 500.0, height / 2, 0.0, 0.0, 1.0]
    count = len(street.images)
    for number, image in enumerate([*street.images, *street.queries[:8]]):
        drive.calibrations.publish(CameraInfo())  # not calibrated, so that nothing has to be measured
        drive.show(number, image, street.poses[number % count])
    wait_until(lambda: any(closure.inliers >= 40 for closure in drive.closures), 60, "a verified closure")

    def is_calibrated() -> bool:
        drive.calibrations.publish(info)  # best effort, and not in step with images
        return drive.closer.input.camera.get() is not None

    wait_until(is_calibrated, 30, "the calibration")
    drive.show(count + 8, street.queries[8], street.poses[8])
    for closure in drive.closures:
        covariance = np.array(closure.relative_pose.covariance).reshape(6, 6)
        np.testing.assert_allclose(covariance, covariance.T, atol=1e-9)
        assert (np.linalg.eigvalsh(covariance) > 0).all()
    assert drive.save(tmp_path / "map").success
    saved = PlaceMap.open(tmp_path / "map", verify=True)
    assert len(saved) == count + 9
    assert np.abs(saved.image(2).astype(int) - street.images[2]).mean() < 5
    assert saved.camera is not None
    assert saved.camera.matrix[0, 0] == 500
    assert saved.camera.mounting.position.tolist() == [0.5, 0, 1.5]


def test_bad_input_is_left_out_and_told_and_the_node_lives_on(run: Any, street: Any) -> None:
    drive = run("/bad")
    drive.images.publish(raw(street.images[0], _START))  # no odometry yet
    broken = Odometry(header=Header(stamp=stamp_from_nanoseconds(_START), frame_id="odom"))
    broken.pose.pose.orientation.w = 0.0
    drive.poses.publish(broken)
    wait_until(lambda: values_of(drive.status()).get("images left out") == "1", 10, "the first image")
    values = values_of(drive.status())
    assert "odometry left out: quaternion has zero length" in values
    assert any("no odometry at the stamp" in key for key in values)
    cut = raw(street.images[0], _START + 1)
    cut.data = cut.data[:1000]
    drive.images.publish(cut)
    for number, image in enumerate([*street.images, *street.queries], start=1):
        drive.show(number, image, street.poses[(number - 1) % len(street.poses)])
    wait_until(lambda: drive.closures, 10, "a closure")
    wait_until(lambda: values_of(drive.status()).get("keyframes") == "48", 10, "diagnostics")
    values = values_of(drive.status())
    assert int(values["closures"]) > 0
    assert (values["earlier map"], values["keyframes in memory"]) == ("", "48")


def test_reset_begins_another_drive_whose_numbers_go_on(run: Any, street: Any, tmp_path: Any) -> None:
    drive = run("/reset")
    for number in range(4):
        drive.show(number, street.images[number], street.poses[number])
    assert drive.call(Trigger, "reset").success
    assert "no keyframe" in drive.save(tmp_path / "map").message
    drive.show(4, street.images[0], street.poses[0])
    response = drive.save(tmp_path / "map")
    assert (response.success, response.path) == (True, str(tmp_path / "map"))
    assert len(PlaceMap.open(tmp_path / "map")) == 1
    assert drive.closer._drive.closer.next_id == 5


def test_earlier_map_can_be_loaded_while_it_runs(run: Any, street: Any, map_path: Any) -> None:
    drive = run("/loaded")
    wrong = drive.call(LoadMap, "load_map", path="nowhere")
    assert not wrong.success
    assert f"{Path.cwd()}/nowhere" in wrong.message
    assert wrong.info.map_id == ""
    right = drive.call(LoadMap, "load_map", path=str(map_path))
    assert right.success, right.message
    earlier = PlaceMap.open(map_path)
    assert (right.info.map_id, right.info.header.frame_id) == (earlier.header.map_id, "map")
    for number in range(10):
        drive.show(number, street.queries[number], street.poses[number])
    wait_until(lambda: drive.closures, 10, "a closure with the map")
    assert drive.closures[0].from_id < len(earlier)
    # What was loaded is opened again when the node is configured anew.
    node = drive.closer
    assert node.trigger_deactivate() == node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    assert "not configured" in drive.call(LoadMap, "load_map", path=str(map_path)).message
    assert node.trigger_configure() == node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    assert node._drive.earlier.header.map_id == earlier.header.map_id


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"weights": "nowhere.safetensors"}, "nowhere"),
        ({"image_transport": "theora"}, "expected one of raw, compressed"),
        ({"store_images": "full"}, "with verification only"),
        ({"store_images": "some", "verification": True}, "expected one of none, full"),
        ({"extrinsics": "0 0 one"}, "expected 'x y z qx qy qz qw'"),
        ({"extrinsics": "0 0 1 0 0 0 0"}, "zero length"),
        ({"publish_swarm_slam": True}, "cslam_common_interfaces"),
        ({"publish_swarm_slam": True, "map": "some"}, "leave the parameter map empty"),
    ],
)
def test_wrong_parameters_keep_it_from_its_work_and_are_named(
    ros: None, map_path: Any, parameters: Any, sentence: str
) -> None:
    usual = {"weights": str(map_path / "model.safetensors"), "verification": False}
    overrides = [Parameter(name, value=value) for name, value in {**usual, **parameters}.items()]
    node = LoopClosureNode(namespace="/wrong", parameter_overrides=overrides)
    (problem,) = node._all_problems()
    node.destroy_node()
    assert problem.is_fatal
    assert sentence in problem.message
