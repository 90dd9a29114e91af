"""A street driven twice by a calibrated camera: geometry measures how far apart the two passes are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("panda3d")

from netvlad_core.data.bags.source import BagSource
from netvlad_core.data.camera import Camera
from netvlad_core.data.frames import Frame
from netvlad_core.data.geometry import Pose
from netvlad_core.localization.loops.live_drive import drive_observer
from netvlad_core.localization.loops.loop_closure import LoopCloser, LoopClosure
from netvlad_core.localization.loops.loop_options import VERIFICATION, LoopClosureOptions
from netvlad_core.model.extractor import Extractor

_START, _SECOND = 10**18, 10**9
_APART = Pose.from_xyz_yaw(500.0, 200.0, yaw=1.0)  # where odometry has got to when the second pass begins


def _close(
    frames: list[Frame], odometry: list[Pose], closer: LoopCloser, camera: Camera
) -> list[LoopClosure]:
    observe, found = drive_observer(Extractor.load(device="cpu"), VERIFICATION, "xfeat"), []
    for number, (frame, pose) in enumerate(zip(frames, odometry, strict=True)):
        image = frame.decode()
        found.append(closer.add(observe(image, _START + number * _SECOND, pose, camera), image))
    return [closure for closure in found if closure is not None]


def _passes(
    folder: Path, offsets: list[Pose], last: int | None = None
) -> tuple[list[LoopClosure], list[Pose]]:
    """Closures of a drive whose passes share the images of a bag in turn, and the true poses by number.

    Parameters
    ----------
    offsets : odometry <- truth of each pass.
    last : images of the last pass; all by default.
    """
    drive = BagSource.open(folder)
    assert drive.camera is not None
    frames = [frame for frame in drive if frame.pose is not None]
    passes = [frames[first :: len(offsets)] for first in range(len(offsets))]
    passes[-1] = passes[-1][:last]
    odometry = [offset @ frame.pose for offset, each in zip(offsets, passes) for frame in each if frame.pose]
    in_order = [frame for each in passes for frame in each]
    options = LoopClosureOptions(spacing=0.0, verification=VERIFICATION)
    closures = _close(in_order, odometry, LoopCloser(options), drive.camera)
    return closures, [frame.pose for frame in in_order if frame.pose is not None]


def _error(closure: LoopClosure, true: list[Pose]) -> np.ndarray:
    """(3,) metres."""
    start, end = (true[(stamp - _START) // _SECOND] for stamp in (closure.from_stamp, closure.to_stamp))
    return closure.relative.position - (start.inverse() @ end).position


def test_relative_pose_is_metric_and_its_covariance_honest(noon_drive: Path) -> None:
    """Every second image belongs to the second pass."""
    closures, true = _passes(noon_drive, [Pose.identity(), _APART])
    assert len(closures) > 10
    for closure in closures:
        assert closure.inliers >= 40
        error = _error(closure, true)
        assert np.linalg.norm(error) < 0.1
        assert error @ np.linalg.solve(closure.covariance[:3, :3], error) < 11.3  # 99 % of them


def test_closure_is_measured_from_the_visit_whose_points_it_saw(noon_drive: Path) -> None:
    """By odometry the second visit lies 9 m further up the street than the first one, which is beside it."""
    closures, true = _passes(noon_drive, [Pose.identity(), Pose.from_xyz_yaw(9.0, 0.0), _APART], last=8)
    assert len(closures) > 3
    assert max(np.linalg.norm(_error(closure, true)) for closure in closures) < 1.0
