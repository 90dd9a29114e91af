"""A drive whose odometry drifts is bent into the frame of the map, and false recognitions are let go."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("gtsam")
from netvlad_core.data.geometry import Pose
from netvlad_core.errors import MapError
from netvlad_core.localization import pose_graph
from netvlad_core.localization.joining import Joint, Sightings, joint_of

_COUNT = 200


def _rows(poses: list[Pose]) -> np.ndarray:
    return np.array([[*pose.position, *pose.quaternion] for pose in poses])


def _drive() -> tuple[np.ndarray, np.ndarray]:
    """True poses along a road of 400 m with bends, and what odometry that drifts says of it."""
    truth, odometry = [Pose.identity()], [Pose.from_xyz_yaw(-40.0, 7.0, 2.0, yaw=2.0)]
    for row in range(_COUNT - 1):
        turn = np.radians(2.0) * np.sign(np.sin(row / 15))
        truth.append(truth[-1] @ Pose.from_xyz_yaw(2.0, 0.0, yaw=turn))
        # 2 % too long, and half a degree too much every ten metres.
        odometry.append(odometry[-1] @ Pose.from_xyz_yaw(2.04, 0.0, yaw=turn + np.radians(0.1)))
    return _rows(truth), _rows(odometry)


def _seen(truth: np.ndarray, rows: np.ndarray) -> Sightings:
    poses = truth[rows].copy()
    poses[:, :2] += np.random.default_rng(0).normal(0, 1.0, (len(rows), 2))
    return Sightings(rows, poses)


def _errors(joint: Joint, truth: np.ndarray) -> np.ndarray:
    assert joint.bent is not None
    return np.linalg.norm(joint.bent[:, :3] - truth[:, :3], axis=1)


def test_drifting_drive_is_bent_and_would_be_refused_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, odometry = _drive()
    rows = np.delete(np.arange(_COUNT), np.arange(120, 150))  # a part that the map does not know
    found = _seen(truth, rows)
    joint = joint_of(found, odometry, "both", may_bend=True)
    assert joint.figures["is_bent"]
    errors = _errors(joint, truth)
    assert (errors.mean() < 1.0, errors.max() < 3.0) == (True, True)
    assert joint.agrees.mean() > 0.98
    with pytest.raises(MapError, match="agree on one transform"):
        joint_of(found, odometry, "both")
    monkeypatch.setattr(pose_graph, "is_installed", lambda: False)
    with pytest.raises(MapError, match="pip install gtsam"):
        joint_of(found, odometry, "both", may_bend=True)


def test_false_recognitions_are_let_go() -> None:
    truth, odometry = _drive()
    found = _seen(truth, np.arange(0, _COUNT, 2))
    found.poses[30:45, :2] += [60.0, -25.0]  # another street that looks alike
    joint = joint_of(found, odometry, "both", may_bend=True)
    assert _errors(joint, truth).max() < 4.0
    assert not joint.agrees[30:45].any()


def test_recognitions_that_contradict_each_other_are_refused() -> None:
    truth, odometry = _drive()
    found = _seen(truth, np.arange(_COUNT))
    found.poses[::2, :2] += [60.0, -25.0]
    with pytest.raises(MapError, match="agree on one"):
        joint_of(found, odometry, "both", may_bend=True)


def test_drive_without_drift_is_moved_as_a_whole() -> None:
    truth, _ = _drive()
    joint = joint_of(_seen(truth, np.arange(_COUNT)), truth, "both", may_bend=True)
    assert joint.bent is None
