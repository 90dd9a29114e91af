"""Verification in the node: a metric pose where the camera is calibrated, clear words where it cannot be."""

from __future__ import annotations

from time import time_ns

import numpy as np
import pytest

pytest.importorskip("rclpy")
from geometry_msgs.msg import Point
from sensor_msgs.msg import CameraInfo

from netvlad_core.data.geometry import Pose
from netvlad_core.data.transforms import TransformTree
from netvlad_ros.conversions import stamp_to_nanoseconds
from netvlad_ros.msg import PlaceMatches
from support.robot import raw, wait_until


def _camera_info(scale: float, camera) -> CameraInfo:
    matrix = scale * camera.matrix
    return CameraInfo(
        width=camera.width, height=camera.height, distortion_model="plumb_bob", d=[0.0] * 5, k=matrix.ravel()
    )


def _is_heard(robot, is_calibrated: bool) -> bool:
    """Whether the last camera_info has come, which is of a calibrated camera or of another one."""
    camera, problem = robot.node.input.camera.get(), robot.node.input.camera.problem
    return camera is not None if is_calibrated else "is not calibrated" in problem


def _error(point: Point, truth) -> float:
    return float(np.linalg.norm([point.x - truth[0], point.y - truth[1], point.z - truth[2]]))


def test_poses_are_metric_and_matches_count_inliers(start, evening_street):
    place_map, frames = evening_street
    robot = start(map=place_map.path, sequence_filter=False, verification=True, min_similarity=0.0)
    robot.wait_until_it_answers()
    publish = robot.talk("camera_info", CameraInfo, 1)
    # A driver without a calibration publishes zeros; then the camera of the map stands for it.
    for info in (_camera_info(0.0, place_map.camera), _camera_info(1.0, place_map.camera)):
        robot.heard.clear()
        is_calibrated = info.k[0] > 0
        wait_until(lambda i=info, c=is_calibrated: publish(i) or _is_heard(robot, c), 20, "the calibration")
        truth, answers = {}, []
        for frame in frames:
            truth[stamp := time_ns()] = frame.pose.position
            answers.append(robot.ask(raw(frame.decode(), stamp)))
        localized = [answer for answer in answers if answer.state == PlaceMatches.LOCALIZED]
        assert len(localized) > len(frames) // 2
        # A place is confirmed by min_inliers; the most similar one beside it may have fewer.
        assert all(max(match.inliers for match in answer.matches) >= 30 for answer in localized)
        wait_until(lambda every=localized: len(robot.heard["pose"]) >= len(every), 10, "the poses")
        errors = [
            _error(pose.pose.pose.position, truth[stamp_to_nanoseconds(pose.header.stamp)])
            for pose in robot.heard["pose"]
        ]
        assert np.median(errors) < 0.5


def test_camera_is_where_tf_static_mounts_it(start, evening_street, monkeypatch):
    """The same images from a camera a metre further ahead on the robot: the robot is a metre behind."""
    place_map, frames = evening_street
    robot = start(map=place_map.path, sequence_filter=False, verification=True, min_similarity=0.0)
    robot.wait_until_it_answers()
    tree = TransformTree()  # as /tf_static says it; no wheel has a TFMessage
    tree.add_fixed("base_link", "camera", Pose.from_xyz_yaw(1.0, 0.0) @ place_map.camera.mounting)
    monkeypatch.setattr(robot.node.input.static_frames, "between", tree.fixed_between)
    info = _camera_info(1.0, place_map.camera)
    info.header.frame_id = "camera"
    publish = robot.talk("camera_info", CameraInfo, 1)
    wait_until(lambda: publish(info) or _is_heard(robot, True), 20, "the calibration")
    expected = {}
    for frame in frames:
        expected[stamp := time_ns()] = (frame.pose @ Pose.from_xyz_yaw(-1.0, 0.0)).position
        robot.ask(raw(frame.decode(), stamp))
    wait_until(lambda: len(robot.heard["pose"]) > len(frames) // 2, 10, "the poses")
    errors = [
        _error(pose.pose.pose.position, expected[stamp_to_nanoseconds(pose.header.stamp)])
        for pose in robot.heard["pose"]
    ]
    assert np.median(errors) < 0.5


def test_map_without_images_does_not_open(start, map_path, tmp_path, street):
    from netvlad_core.data.catalogue import CatalogueSource
    from netvlad_core.mapping.builder import BuildOptions, build_map

    source = CatalogueSource.from_csv(street.write(tmp_path / "street"))
    options = BuildOptions(
        weights=map_path / "model.safetensors", store_images="none", device="cpu", store_features="none"
    )
    private = build_map(source, tmp_path / "map", options, progress=False)
    robot = start(map=private.path, verification=True)
    assert robot.state() == "unconfigured"
    robot.diagnostics(lambda message, values: "--store-images full" in message)
