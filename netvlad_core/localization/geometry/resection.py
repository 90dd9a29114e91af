"""Metric pose of a query that sees points of the map."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from netvlad_core.data.camera import Camera
from netvlad_core.data.geometry import Pose
from netvlad_core.geometry.local_features import LocalFeatures
from netvlad_core.geometry.structure import shifted
from netvlad_core.localization.pose_prior import PoseEstimate

# Numbers without a word on what was tried are by design; their neighbours were not tried.
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


def resect(
    points: np.ndarray,
    matches: np.ndarray,
    query: LocalFeatures,
    camera: Camera,
    fewest: int = FEWEST_POINTS,
    least_share: float = _LEAST_SHARE,
) -> PoseEstimate | None:
    """Pose of the query that sees the points of a place, by PnP in RANSAC and a robust least squares fit.

    None if too few points agree on one pose.

    Parameters
    ----------
    points : (N, 3) metres in the map frame for the features of the place, NaN if unknown.
    matches : (M, 2) int, rows of the query's features and of the place's that agree with one geometry.
    camera : camera of the query.
    fewest : features of the query that must agree on the pose.
    least_share : of the points seen must support the pose.
    """
    seen = matches[np.isfinite(points[matches[:, 1], 0])]
    if len(seen) < fewest:
        return None
    pixels, scene = query.points[seen[:, 0]].astype(np.float64), points[seen[:, 1]].astype(np.float64)
    rays = camera.rays(pixels)
    focal, tolerance = camera.focal_length, query.tolerance
    cv2.setRNGSeed(0)
    origin = scene.mean(axis=0)  # maps far from their own one, e.g. UTM, would cost digits
    scene -= origin
    found, turn, shift, inliers = cv2.solvePnPRansac(
        scene, rays * focal, np.diag([focal, focal, 1.0]), None,
        iterationsCount=_TRIALS, reprojectionError=tolerance, confidence=0.999, flags=cv2.SOLVEPNP_EPNP,
    )  # fmt: skip
    # One feature of the query may be matched to several places: it counts once.
    if not found or inliers is None or len(np.unique(seen[inliers.ravel(), 0])) < fewest:
        return None
    back = Rotation.from_rotvec(turn.ravel()).inv()
    start = Pose(-back.apply(shift.ravel()), back.as_quat()) @ camera.mounting.inverse()
    chosen = inliers.ravel()
    fewest = max(fewest, round(least_share * len(seen)))
    fitted = _refine(start, scene[chosen], rays[chosen], camera, tolerance, fewest)
    return fitted and replace(fitted, pose=shifted(fitted.pose, origin))


def _refine(
    start: Pose, scene: np.ndarray, rays: np.ndarray, camera: Camera, tolerance: float, fewest: int
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
    if supporting < fewest:
        return None
    spread = max(float(np.median(errors)) / _RAYLEIGH_MEDIAN, _LEAST_SPREAD)
    try:
        covariance = (_INFLATION * spread) ** 2 * np.linalg.inv(fit.jac.T @ fit.jac)
    except np.linalg.LinAlgError:
        return None
    floor = np.repeat([_POSITION_FLOOR**2, _ROTATION_FLOOR**2], 3)
    return PoseEstimate(pose, (covariance + covariance.T) / 2 + np.diag(floor))
