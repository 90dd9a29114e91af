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
from netvlad_core.localization.geometry.verification import VerificationOptions
from netvlad_core.localization.loops.loop_closure import LoopCloser, LoopClosure
from netvlad_core.localization.loops.loop_options import LoopClosureOptions
from netvlad_core.localization.observation import Observer
from netvlad_core.model.extractor import Extractor

_START, _SECOND = 10**18, 10**9
_APART = Pose.from_xyz_yaw(500.0, 200.0, yaw=1.0)  # where odometry has got to when the second pass begins


def _close(
    frames: list[Frame], odometry: list[Pose], closer: LoopCloser, camera: Camera
) -> list[LoopClosure]:
    observe, found = Observer(Extractor.load(device="cpu"), features=1000), []
    for number, (frame, pose) in enumerate(zip(frames, odometry, strict=True)):
        image = frame.decode()
        found.append(closer.add(observe(image, _START + number * _SECOND, pose, camera), image))
    return [closure for closure in found if closure is not None]


def test_relative_pose_is_metric_and_its_covariance_honest(noon_drive: Path) -> None:
    """Every second image belongs to the second pass."""
    passes = BagSource.open(noon_drive)
    frames = [frame for frame in passes if frame.pose is not None]
    first, second = frames[::2], frames[1::2]
    true = [frame.pose for frame in (*first, *second) if frame.pose is not None]
    drifted = [*true[: len(first)], *(_APART @ pose for pose in true[len(first) :])]
    verification = VerificationOptions(min_inliers=40, most_places=5)
    options = LoopClosureOptions(spacing=0.0, verification=verification)
    assert passes.camera is not None
    closures = _close([*first, *second], drifted, LoopCloser(options), passes.camera)
    assert len(closures) > 10
    for closure in closures:
        assert closure.inliers >= 40
        start, end = (true[(stamp - _START) // _SECOND] for stamp in (closure.from_stamp, closure.to_stamp))
        truth = start.inverse() @ end
        error = closure.relative.position - truth.position
        assert np.linalg.norm(error) < 0.1
        assert error @ np.linalg.solve(closure.covariance[:3, :3], error) < 11.3  # 99 % of them
