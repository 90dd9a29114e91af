"""Metric pose of a query: points triangulated between places of the map, whose poses are known, and seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from netvlad_core.data.camera import Camera
from netvlad_core.data.geometry import Pose
from netvlad_core.localization.geometry.local_features import LocalFeatures, match_features
from netvlad_core.localization.pose_prior import PoseEstimate

# Numbers without a word on what was tried are by design; their neighbours were not tried.
_LEAST_PARALLAX = np.radians(1.0)  # less gives no depth: features are found again within half a degree
_LEAST_DEPTH = 0.1  # metres before the camera
FEWEST_POINTS = 15  # four times what PnP needs
_LEAST_SHARE = 0.5  # of the points seen must support the pose
_TRIALS = 500  # bound of time
# Calibrated on drives whose poses are known, see docs/localization.md: the places' own poses err, and so do
# the points; matches err together, e.g. along one facade. The other values tried are not recorded.
_POSITION_FLOOR = 0.3  # metres, standard deviation
_ROTATION_FLOOR = np.radians(1.0)
_INFLATION = 4.5  # of standard deviations
_RAYLEIGH_MEDIAN = 1.18  # sqrt(2 ln 2): median distance of two normal errors, in their standard deviation
_LEAST_SPREAD = 0.25  # pixels on an axis: no feature is located better


@dataclass(frozen=True, eq=False)
class View:
    """An image of the map: its features, its calibrated camera and its pose map <- base_link."""

    features: LocalFeatures
    camera: Camera
    pose: Pose

    @property
    def optical(self) -> Pose:
        """map <- optical frame."""
        return self.pose @ self.camera.mounting


def triangulate(view: View, others: Sequence[View]) -> dict[int, np.ndarray]:
    """Points of the map that a view shows: {row of its features: (3,) metres in the map frame}.

    Of several other views the one with the largest angle counts. Points under an angle of less than a degree,
    or not where both views see them, are left out.
    """
    points: dict[int, np.ndarray] = {}
    angles: dict[int, float] = {}
    origin = view.pose.position  # maps far from their own one, e.g. UTM, would cost digits
    view, *others = (replace(v, pose=_shifted(v.pose, -origin)) for v in (view, *others))
    for other in others:
        matches = match_features(view.features, other.features)
        if not len(matches):
            continue
        rays = [v.camera.rays(v.features.points[rows]) for v, rows in zip((view, other), matches.T)]
        projections = [_projection(v.optical) for v in (view, other)]
        found = cv2.triangulatePoints(projections[0], projections[1], rays[0].T, rays[1].T)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = (found[:3] / found[3]).T
        angle = _angle_between(found - view.optical.position, found - other.optical.position)
        good = np.isfinite(found).all(axis=1) & (angle >= _LEAST_PARALLAX)
        for v, ray in zip((view, other), rays):
            good &= _errors(found, v.optical, ray) * v.camera.focal_length <= v.features.tolerance
        for row, point, size in zip(matches[good, 0], found[good], angle[good]):
            if size > angles.get(int(row), 0.0):
                points[int(row)], angles[int(row)] = point + origin, float(size)
    return points


def resect(
    points: dict[int, np.ndarray], matches: np.ndarray, query: LocalFeatures, camera: Camera
) -> PoseEstimate | None:
    """Pose of the query that sees the points of a place, by PnP in RANSAC and a robust least squares fit.

    None if too few points agree on one pose.

    Parameters
    ----------
    points : as `triangulate` returns them for the place.
    matches : (M, 2) int, rows of the query's features and of the place's that agree with one geometry.
    camera : camera of the query.
    """
    seen = [(points[int(b)], query.points[a]) for a, b in matches if int(b) in points]
    if len(seen) < FEWEST_POINTS:
        return None
    scene, pixels = (np.array(column, np.float64) for column in zip(*seen))
    rays = camera.rays(pixels)
    focal, tolerance = camera.focal_length, query.tolerance
    cv2.setRNGSeed(0)
    origin = scene.mean(axis=0)  # maps far from their own one, e.g. UTM, would cost digits
    scene -= origin
    found, turn, shift, inliers = cv2.solvePnPRansac(
        scene, rays * focal, np.diag([focal, focal, 1.0]), None,
        iterationsCount=_TRIALS, reprojectionError=tolerance, confidence=0.999, flags=cv2.SOLVEPNP_EPNP,
    )  # fmt: skip
    if not found or inliers is None or len(inliers) < FEWEST_POINTS:
        return None
    back = Rotation.from_rotvec(turn.ravel()).inv()
    start = Pose(-back.apply(shift.ravel()), back.as_quat()) @ camera.mounting.inverse()
    chosen = inliers.ravel()
    fitted = _refine(start, scene[chosen], rays[chosen], camera, tolerance, len(seen))
    return fitted and replace(fitted, pose=_shifted(fitted.pose, origin))


def _refine(
    start: Pose, scene: np.ndarray, rays: np.ndarray, camera: Camera, tolerance: float, seen: int
) -> PoseEstimate | None:
    """Fit the base pose, in steps (6,): metres and rotation vector about the map's axes."""

    def moved(step: np.ndarray) -> Pose:
        return Pose(start.position + step[:3], (Rotation.from_rotvec(step[3:]) * start.rotation).as_quat())

    def residuals(step: np.ndarray) -> np.ndarray:
        in_camera = (moved(step) @ camera.mounting).inverse()
        local = in_camera.rotation.apply(scene) + in_camera.position
        depths = np.maximum(local[:, 2], 1e-3)
        return ((local[:, :2] / depths[:, None] - rays) * camera.focal_length).ravel()

    fit = least_squares(residuals, np.zeros(6), loss="soft_l1", f_scale=tolerance / 2, x_scale="jac")
    pose = moved(fit.x)
    errors = np.linalg.norm(residuals(fit.x).reshape(-1, 2), axis=1)
    supporting = int((errors <= 2 * tolerance).sum())
    if supporting < max(FEWEST_POINTS, _LEAST_SHARE * seen):
        return None
    spread = max(float(np.median(errors)) / _RAYLEIGH_MEDIAN, _LEAST_SPREAD)
    try:
        covariance = (_INFLATION * spread) ** 2 * np.linalg.inv(fit.jac.T @ fit.jac)
    except np.linalg.LinAlgError:
        return None
    floor = np.repeat([_POSITION_FLOOR**2, _ROTATION_FLOOR**2], 3)
    return PoseEstimate(pose, (covariance + covariance.T) / 2 + np.diag(floor))


def _shifted(pose: Pose, shift: np.ndarray) -> Pose:
    return Pose(pose.position + shift, pose.quaternion)


def _projection(optical: Pose) -> np.ndarray:
    """(3, 4) rays <- points of the map."""
    inverse = optical.inverse()
    return np.column_stack([inverse.rotation.as_matrix(), inverse.position])


def _errors(points: np.ndarray, optical: Pose, rays: np.ndarray) -> np.ndarray:
    """Distance of the projected points from the rays, infinite behind the camera; (N,)."""
    inverse = optical.inverse()
    local = inverse.rotation.apply(np.nan_to_num(points)) + inverse.position
    is_ahead = local[:, 2] > _LEAST_DEPTH
    depths = np.where(is_ahead, local[:, 2], 1.0)[:, None]
    return np.where(is_ahead, np.linalg.norm(local[:, :2] / depths - rays, axis=1), np.inf)


def _angle_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        cosine = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return np.arccos(np.clip(np.nan_to_num(cosine, nan=1.0), -1, 1))
