"""Do two images show one rigid scene? Epipolar geometry of their local features."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from netvlad_core.data.camera import Camera
from netvlad_core.geometry.local_features import LocalFeatures, match_features

# Numbers without a word on what was tried are by design; their neighbours were not tried.
_CONFIDENCE = 0.999
_MOST_TRIALS = 2000  # bound of time
_FEWEST_FEATURES = 20  # fewer are found in a dark, blank or blurred image
_FEWEST_MATCHES = 8  # what a fundamental matrix needs
# Share of the inliers that one homography, or one rotation, must explain to be the whole truth.
_MOST = 0.9
# A rotation is fitted three times, each time to the points within 1.5 median errors of the last fit.
_FITS, _TRIMMED = 3, 1.5


class Case(Enum):
    """What a comparison came to; the value is the reason in words."""

    GENERAL = "two views of one scene"
    ONE_PLANE = "two views of one plane, or from one point: the place is confirmed, the motion is not known"
    ROTATION = "two views from one point: the rotation is known, a direction is not"
    FEW_FEATURES = "too few features: a dark, blank or blurred image"
    FEW_MATCHES = "too few features that match"
    NO_MODEL = "features match, but not as one rigid scene"


@dataclass(frozen=True, eq=False)
class TwoViews:
    """Comparison of a query with a place.

    Attributes
    ----------
    case : what the comparison came to.
    inliers : (M, 2) int, rows of the features of query and place that agree with one geometry.
    rotation : place's optical frame <- query's, for calibrated cameras in the cases GENERAL and ROTATION.
    direction : (3,) float64, unit vector to the query's camera in the place's optical frame, in the case
        GENERAL; two images do not tell how far it is.
    scale : size of the scene in the query relative to the place; above 1 the query is nearer to the scene.
    """

    case: Case
    inliers: np.ndarray
    rotation: Rotation | None = None
    direction: np.ndarray | None = None
    scale: float = 1.0


_NO_INLIERS = np.empty((0, 2), np.int64)


def compare(
    query: LocalFeatures,
    place: LocalFeatures,
    query_camera: Camera | None = None,
    place_camera: Camera | None = None,
) -> TwoViews:
    """Compare two images by their features.

    With both cameras this finds an essential matrix, else a fundamental one, by MAGSAC++ (Barath et al., CVPR
    2020) from a fixed seed.

    Parameters
    ----------
    query_camera, place_camera : calibrations for the size of these images.
    """
    if min(len(query), len(place)) < _FEWEST_FEATURES:
        return TwoViews(Case.FEW_FEATURES, _NO_INLIERS)
    matches = match_features(query, place)
    if len(matches) < _FEWEST_MATCHES:
        return TwoViews(Case.FEW_MATCHES, _NO_INLIERS)
    tolerance = query.tolerance
    if query_camera is None or place_camera is None:
        inliers = epipolar_inliers(query, place, matches)
        if not len(inliers):
            return TwoViews(Case.NO_MODEL, _NO_INLIERS)
        a, b = _points(query, place, inliers)
        case = Case.ONE_PLANE if _fits_homography(a, b, tolerance) else Case.GENERAL
        return TwoViews(case, inliers, scale=_extent(a) / _extent(b))
    a, b = _points(query, place, matches)
    focal = query_camera.focal_length
    a, b = query_camera.rays(a) * focal, place_camera.rays(b) * focal  # as pixels of one ideal camera
    return _calibrated(a, b, focal, matches, tolerance)


def _points(query: LocalFeatures, place: LocalFeatures, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return query.points[rows[:, 0]].astype(np.float64), place.points[rows[:, 1]].astype(np.float64)


def common_features(query: LocalFeatures, place: LocalFeatures) -> np.ndarray:
    """Features of two images that agree with one fundamental matrix, (M, 2) int, rows of query and place."""
    return epipolar_inliers(query, place, match_features(query, place))


def epipolar_inliers(query: LocalFeatures, place: LocalFeatures, matches: np.ndarray) -> np.ndarray:
    """Of matches (N, 2) those that agree with one fundamental matrix, (M, 2); none if there are too few.

    This is what counts of inliers are about: it is found in a tenth of the time of an essential matrix.
    """
    if len(matches) < _FEWEST_MATCHES or min(len(query), len(place)) < _FEWEST_FEATURES:
        return _NO_INLIERS
    (a, b), tolerance = _points(query, place, matches), query.tolerance
    try:
        _, mask = cv2.findFundamentalMat(a, b, cv2.USAC_MAGSAC, tolerance, _CONFIDENCE, _MOST_TRIALS)
    except cv2.error:  # one image twice: every line is epipolar, and OpenCV 5 finds no model
        mask = np.linalg.norm(a - b, axis=1) <= tolerance
    inliers = matches[_as_bool(mask, len(a))]
    return inliers if len(inliers) >= _FEWEST_MATCHES else _NO_INLIERS


def _calibrated(
    a: np.ndarray, b: np.ndarray, focal: float, matches: np.ndarray, tolerance: float
) -> TwoViews:
    ideal = np.diag([focal, focal, 1.0])
    essential, mask = cv2.findEssentialMat(a, b, ideal, cv2.USAC_MAGSAC, _CONFIDENCE, tolerance, _MOST_TRIALS)
    is_inlier = _as_bool(mask, len(matches))
    if essential is None or essential.shape != (3, 3) or is_inlier.sum() < _FEWEST_MATCHES:
        return TwoViews(Case.NO_MODEL, _NO_INLIERS)
    a, b, inliers = a[is_inlier], b[is_inlier], matches[is_inlier]
    if (rotation := _pure_rotation(a, b, focal, tolerance)) is not None:
        return TwoViews(Case.ROTATION, inliers, rotation)
    _, turn, shift, in_front = cv2.recoverPose(essential, a, b, ideal)
    is_in_front = _as_bool(in_front, len(inliers))
    if is_in_front.sum() < _FEWEST_MATCHES:  # the scene would lie behind the cameras
        return TwoViews(Case.NO_MODEL, _NO_INLIERS)
    scale = _extent(a[is_in_front]) / _extent(b[is_in_front])
    return TwoViews(Case.GENERAL, inliers[is_in_front], Rotation.from_matrix(turn), shift.ravel(), scale)


def _pure_rotation(a: np.ndarray, b: np.ndarray, focal: float, tolerance: float) -> Rotation | None:
    """b <- a, if a rotation alone explains nearly all of the points."""
    rays_a, rays_b = (
        np.column_stack([points, np.full(len(points), focal)])
        / np.linalg.norm([*points.T, np.full(len(points), focal)], axis=0)[:, None]
        for points in (a, b)
    )
    is_fitted = np.ones(len(a), bool)
    for _ in range(_FITS):
        rotation, _ = Rotation.align_vectors(rays_b[is_fitted], rays_a[is_fitted])
        errors = np.linalg.norm(rotation.apply(rays_a) - rays_b, axis=1) * focal
        is_fitted = errors <= max(tolerance, _TRIMMED * float(np.median(errors)))
    return rotation if (errors <= tolerance).mean() >= _MOST else None


def _extent(points: np.ndarray) -> float:
    """Median distance of the points (N, 2) from their middle, pixels."""
    middle = np.median(points, axis=0)
    return max(1.0, float(np.median(np.linalg.norm(points - middle, axis=1))))


def _fits_homography(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    _, mask = cv2.findHomography(a, b, cv2.USAC_MAGSAC, tolerance, None, _MOST_TRIALS, _CONFIDENCE)
    return bool(_as_bool(mask, len(a)).mean() >= _MOST)


def _as_bool(mask: np.ndarray | None, count: int) -> np.ndarray:
    return np.zeros(count, bool) if mask is None else mask.ravel().astype(bool)
