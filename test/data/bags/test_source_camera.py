"""The camera of a bag: which camera_info counts, and what it means for the images that are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from netvlad_core.data.bags.source import BagSource, SourceOptions
from netvlad_core.data.geometry import Pose
from support.bags import BagWriter
from support.drives import START, arc, pictures

K = np.array([30.0, 0, 32, 0, 30, 24, 0, 0, 1])
P = np.array([24.0, 0, 30, 0, 0, 24, 23, 0, 0, 0, 1, 0])
MOUNTING = Pose.from_xyz_yaw(0.3, 0, 1, yaw=0.2)
TURN = Rotation.from_euler("y", 5, degrees=True).as_matrix()


def write(
    path: Path, image_topic: str, first: int = 0, namespace: str = "", offsets: tuple[int, int] = (0, 0)
) -> BagSource:
    """Write a bag whose camera_info is uncalibrated in the first messages."""
    with BagWriter(path) as bag:
        make = bag.messages
        for name, mounting in ((namespace, MOUNTING), ("/other", Pose.from_xyz_yaw(9, 9))):
            bag.write(f"{name}/tf_static", make.transforms(START, ("base_link", "camera", mounting)), START)
        for stamp, pose in arc():
            bag.write(f"{namespace}/odom", make.odometry(stamp, pose), stamp)
        for i, (stamp, picture) in enumerate(pictures()):
            bag.write(namespace + image_topic, make.image(stamp, picture), stamp)
            matrix = np.zeros(9) if i < first else K
            bag.write(f"{namespace}/camera/camera_info", info(make, stamp, matrix, offsets), stamp)
    return BagSource.open(path, SourceOptions(namespace + image_topic, f"{namespace}/odom"))


def info(make: Any, stamp: int, matrix: np.ndarray, offsets: tuple[int, int]) -> Any:
    region = make.make("sensor_msgs/RegionOfInterest", *offsets, 0, 0, False)
    lens = np.array([-0.3, 0.1, 0, 0, 0])
    size = {"height": 48, "width": 64, "distortion_model": "plumb_bob"}
    matrices = {"d": lens, "k": matrix, "r": TURN.ravel(), "p": P}
    header = make.header(stamp, "camera")
    return make.make(
        "sensor_msgs/CameraInfo", header, **size, **matrices, binning_x=0, binning_y=0, roi=region
    )


@pytest.mark.parametrize("first", [0, 1, 2])
def test_raw_images_have_the_calibration_of_most_messages(tmp_path: Path, first: int) -> None:
    camera = write(tmp_path / "drive", "/camera/image_raw", first).camera
    assert camera is not None
    assert (camera.matrix[0, 0], len(camera.distortion)) == (30, 5)
    np.testing.assert_allclose(camera.mounting.position, MOUNTING.position)
    np.testing.assert_allclose(camera.mounting.quaternion, MOUNTING.quaternion)


def test_rectified_images(tmp_path: Path) -> None:
    camera = write(tmp_path / "drive", "/camera/image_rect_color").camera
    assert camera is not None
    assert (camera.matrix[0, 0], len(camera.distortion)) == (24, 0)
    turned = MOUNTING.rotation * Rotation.from_matrix(TURN).inv()
    np.testing.assert_allclose(camera.mounting.rotation.as_matrix(), turned.as_matrix(), atol=1e-9)


def test_region_of_interest(tmp_path: Path) -> None:
    camera = write(tmp_path / "drive", "/camera/image_raw", offsets=(4, 6)).camera
    assert camera is not None
    assert camera.matrix[:2, 2].tolist() == [28, 18]


def test_mounting_of_the_robot_whose_camera_it_is(tmp_path: Path) -> None:
    camera = write(tmp_path / "drive", "/camera/image_raw", namespace="/robot1").camera
    assert camera is not None
    np.testing.assert_allclose(camera.mounting.position, MOUNTING.position)


def test_uncalibrated_camera_is_none_and_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert write(tmp_path / "drive", "/camera/image_raw", first=6).camera is None
    assert [r.message for r in caplog.records if "going on without the calibration" in r.message]
    assert "the camera is not calibrated" in caplog.text
