"""Rigid transforms as values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation

from netvlad_core.errors import PoseError

NOT_FINITE = "pose with NaN or infinity"
ZERO_QUATERNION = "pose with a zero quaternion"
HUGE_QUATERNION = "pose with a quaternion far from length 1"
TOO_FAR = "pose farther away than any place on Earth"

# Lengths of a quaternion: one below is noise, and the square of a large one is infinite.
_SHORTEST, _LONGEST = 1e-6, 1e6
# Metres: half the equator, the largest coordinate of any map projection.
_FARTHEST = 20_037_509.0
_SENTENCES = {
    NOT_FINITE: "pose is not finite: position {position}, quaternion {quaternion}",
    ZERO_QUATERNION: "quaternion {quaternion} has zero length; a rotation has length 1",
    HUGE_QUATERNION: "quaternion {quaternion} is no rotation; a rotation has length 1",
    TOO_FAR: "position {position} is farther away than any place on Earth; expected metres",
}


@dataclass(frozen=True, eq=False)
class Pose:
    """A rigid transform parent <- child.

    Attributes
    ----------
    position : (3,) float64, metres, origin of the child frame in the parent frame.
    quaternion : (4,) float64, x y z w, unit norm, rotation of the child frame in the parent frame.

    Examples
    --------
    >>> from netvlad_core import Pose
    >>> robot = Pose.from_xyz_yaw(2.0, 1.0, yaw=0.5)  # map <- base_link
    >>> camera = robot @ Pose.from_xyz_yaw(0.3, 0.0, 1.2)  # map <- camera
    >>> camera.position.round(2).tolist(), round(camera.yaw, 2)
    ([2.26, 1.14, 1.2], 0.5)
    >>> (robot.inverse() @ camera).position.round(2).tolist() == [0.3, 0.0, 1.2]
    True
    """

    position: np.ndarray
    quaternion: np.ndarray

    @classmethod
    def from_values(cls, position: ArrayLike, quaternion: ArrayLike) -> Pose:
        """Check and normalise raw numbers; raises PoseError for those that `pose_faults` names."""
        position = np.asarray(position, dtype=np.float64).reshape(3)
        quaternion = np.asarray(quaternion, dtype=np.float64).reshape(4)
        faults = pose_faults(position[None], quaternion[None])
        if kind := next((kind for kind, is_found in faults.items() if is_found[0]), None):
            raise PoseError(_SENTENCES[kind].format(position=position, quaternion=quaternion))
        norm = np.linalg.norm(quaternion)
        # A quaternion that is normalised already stays the same to the last digit.
        is_unit = abs(norm - 1) <= 4 * np.finfo(np.float64).eps
        return cls(position, quaternion if is_unit else quaternion / norm)

    @classmethod
    def from_xyz_yaw(cls, x: float, y: float, z: float = 0.0, yaw: float = 0.0) -> Pose:
        """Build a pose from a position in metres and a heading in radians about +z."""
        return cls.from_values([x, y, z], [0.0, 0.0, np.sin(yaw / 2), np.cos(yaw / 2)])

    @classmethod
    def identity(cls) -> Pose:
        return cls.from_xyz_yaw(0.0, 0.0)

    @property
    def rotation(self) -> Rotation:
        return Rotation.from_quat(self.quaternion)

    @property
    def yaw(self) -> float:
        """Heading about +z in radians, in (-pi, pi]."""
        return float(yaw_of(self.quaternion[None])[0])

    def __matmul__(self, other: Pose) -> Pose:
        """Compose: (a <- b) @ (b <- c) is a <- c."""
        position = self.position + self.rotation.apply(other.position)
        return Pose(position, (self.rotation * other.rotation).as_quat())

    def inverse(self) -> Pose:
        """Return child <- parent."""
        back = self.rotation.inv()
        return Pose(-back.apply(self.position), back.as_quat())


def pose_faults(positions: np.ndarray, quaternions: np.ndarray) -> dict[str, np.ndarray]:
    """Mark, by kind, the poses that are no rigid transforms; positions (N, 3), quaternions (N, 4): (N,) bool.

    A row has at most one fault, the first of: numbers that are not finite, a quaternion shorter than 1e-6 or
    longer than 1e6, a coordinate beyond 20 037 km.
    """
    is_finite = np.isfinite(positions).all(axis=1) & np.isfinite(quaternions).all(axis=1)
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(quaternions, axis=1)
    is_far = (np.abs(positions) > _FARTHEST).any(axis=1)
    kinds = {ZERO_QUATERNION: lengths < _SHORTEST, HUGE_QUATERNION: lengths > _LONGEST, TOO_FAR: is_far}
    faults, is_sound = {NOT_FINITE: ~is_finite}, is_finite
    for kind, is_found in kinds.items():
        faults[kind], is_sound = is_sound & is_found, is_sound & ~is_found
    return faults


def yaw_of(quaternions: np.ndarray) -> np.ndarray:
    """Headings about +z of quaternions (N, 4) x y z w: (N,) float64, radians in (-pi, pi]."""
    x, y, z, w = np.asarray(quaternions, dtype=np.float64).T
    return np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))


def rotation_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angle of the rotation from each a to each b, in [0, pi]; a and b broadcast, (..., 4) x y z w."""
    dots = np.abs((np.asarray(a) * np.asarray(b)).sum(axis=-1))
    return 2 * np.arccos(np.clip(dots, 0.0, 1.0))
