"""Points in metres: seen by places of the map whose poses are known, and triangulated between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from netvlad_core.data.camera import Camera
from netvlad_core.data.geometry import Pose
from netvlad_core.geometry.local_features import LocalFeatures, match_features

# Numbers without a word on what was tried are by design; their neighbours were not tried.
_LEAST_PARALLAX = np.radians(1.0)  # less gives no depth: features are found again within half a degree
_LEAST_DEPTH = 0.1  # metres before the camera


@dataclass(frozen=True, eq=False)
class View:
    """An image of the map: its features, its calibrated camera and its pose map <- base_link."""

    features: LocalFeatures
    camera: Camera
    pose: Pose

    @cached_property
    def optical(self) -> Pose:
        """map <- optical frame."""
        return self.pose @ self.camera.mounting

    @cached_property
    def projection(self) -> np.ndarray:
        """(3, 4), rays <- points of the map."""
        inverse = self.optical.inverse()
        return np.column_stack([inverse.rotation.as_matrix(), inverse.position])


def triangulate(view: View, others: Sequence[View]) -> np.ndarray:
    """Points of the map that a view shows: (N, 3) metres in the map frame for its N features, NaN if unknown.

    Of several other views the one with the largest angle counts. Points under an angle of less than a degree,
    or not where both views see them, are left out.
    """
    points = np.full((len(view.features), 3), np.nan)
    angles = np.zeros(len(view.features))
    origin = view.pose.position  # maps far from their own one, e.g. UTM, would cost digits
    view, *others = (replace(v, pose=shifted(v.pose, -origin)) for v in (view, *others))
    for other in others:
        matches = match_features(view.features, other.features)
        if not len(matches):
            continue
        rays = [v.camera.rays(v.features.points[rows]) for v, rows in zip((view, other), matches.T)]
        found = cv2.triangulatePoints(view.projection, other.projection, rays[0].T, rays[1].T)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = (found[:3] / found[3]).T
        angle = _angle_between(found - view.optical.position, found - other.optical.position)
        good = np.isfinite(found).all(axis=1) & (angle >= _LEAST_PARALLAX) & (angle > angles[matches[:, 0]])
        for v, ray in zip((view, other), rays):
            good &= _errors(found, v.projection, ray) * v.camera.focal_length <= v.features.tolerance
        rows = matches[good, 0]
        points[rows], angles[rows] = found[good] + origin, angle[good]
    return points


def shifted(pose: Pose, shift: np.ndarray) -> Pose:
    """The pose, moved by (3,) metres."""
    return Pose(pose.position + shift, pose.quaternion)


def _errors(points: np.ndarray, projection: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Distance of the projected points from the rays, infinite behind the camera; (N,)."""
    local = np.nan_to_num(points) @ projection[:, :3].T + projection[:, 3]
    is_ahead = local[:, 2] > _LEAST_DEPTH
    depths = np.where(is_ahead, local[:, 2], 1.0)[:, None]
    return np.where(is_ahead, np.linalg.norm(local[:, :2] / depths - rays, axis=1), np.inf)


def _angle_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        cosine = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return np.arccos(np.clip(np.nan_to_num(cosine, nan=1.0), -1, 1))
