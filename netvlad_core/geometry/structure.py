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
_STEPS = 5  # of the fit of a point
_LEAST_SUPPORT = 1.0  # views: the view itself and a part of another one


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

    A point begins where two views see it, the two that most others agree with, and is fitted to all
    of them. Points under an angle of less than a degree, or not where the view and another one see them, are
    left out.
    """
    points = np.full((len(view.features), 3), np.nan)
    origin = view.pose.position  # maps far from their own one, e.g. UTM, would cost digits
    view, *others = (replace(v, pose=shifted(v.pose, -origin)) for v in (view, *others))
    rays = view.camera.rays(view.features.points)
    seen = [_Seen(view, rays)]
    for other in others:
        matches = match_features(view.features, other.features)
        if len(matches):
            seen.append(_Seen(other, np.full((len(points), 2), np.nan)))
            seen[-1].rays[matches[:, 0]] = other.camera.rays(other.features.points[matches[:, 1]])
    support = np.zeros(len(points))
    for one in seen[1:]:
        rows = np.flatnonzero(np.isfinite(one.rays[:, 0]))
        found = cv2.triangulatePoints(view.projection, one.view.projection, rays[rows].T, one.rays[rows].T)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = (found[:3] / found[3]).T
        agreeing = np.sum([each.take(rows).agrees(found) for each in seen], axis=0)
        rows, found, agreeing = (values[agreeing > support[rows]] for values in (rows, found, agreeing))
        points[rows], support[rows] = found, agreeing
    rows = np.flatnonzero(support > _LEAST_SUPPORT)
    fitted, known = (
        _fitted(points[rows], parts := [each.take(rows) for each in seen]),
        np.full_like(points, np.nan),
    )
    is_seen = np.array([each.pixels_off(fitted) <= each.view.features.tolerance for each in parts])
    angles = [_angle_between(fitted - view.optical.position, fitted - v.view.optical.position) for v in parts]
    is_good = is_seen[0] & (np.where(is_seen, angles, 0).max(axis=0, initial=0) >= _LEAST_PARALLAX)
    known[rows[is_good]] = fitted[is_good] + origin
    return known


@dataclass(frozen=True, eq=False)
class _Seen:
    """Points as a view shows them: rays (N, 2), NaN where it does not."""

    view: View
    rays: np.ndarray

    def take(self, rows: np.ndarray) -> _Seen:
        return _Seen(self.view, self.rays[rows])

    def pixels_off(self, points: np.ndarray) -> np.ndarray:
        """(N,) pixels between points (N, 3) and where the view shows them; infinite behind it, else NaN."""
        return _errors(points, self.view.projection, self.rays) * self.view.camera.focal_length

    def agrees(self, points: np.ndarray) -> np.ndarray:
        """How well the view agrees with points: (N,) from 1 to 0 at its tolerance."""
        errors = self.pixels_off(points) / self.view.features.tolerance
        return np.nan_to_num(np.maximum(0.0, 1.0 - errors**2), posinf=0.0)


def _fitted(points: np.ndarray, seen: Sequence[_Seen]) -> np.ndarray:
    """Points (N, 3) fitted to their rays by Gauss-Newton with Geman and McClure's weights."""
    for _ in range(_STEPS):
        information, gradient = np.tile(1e-9 * np.eye(3), (len(points), 1, 1)), np.zeros((len(points), 3))
        for one in seen:
            scale = one.view.features.tolerance / one.view.camera.focal_length
            turn, shift = one.view.projection[:, :3], one.view.projection[:, 3]
            x, y, z = (points @ turn.T + shift).T
            z = np.maximum(z, _LEAST_DEPTH)
            residuals = np.stack([x / z, y / z], axis=1) - one.rays
            weights = np.nan_to_num(1 / (1 + (residuals**2).sum(axis=1) / scale**2) ** 2)
            slopes = [turn[row] - (axis / z)[:, None] * turn[2] for row, axis in enumerate((x, y))]
            jacobian = np.stack(slopes, axis=1) / z[:, None, None]
            information += (jacobian * weights[:, None, None]).transpose(0, 2, 1) @ jacobian
            gradient += (jacobian * (weights[:, None] * np.nan_to_num(residuals))[..., None]).sum(axis=1)
        points = points - np.linalg.solve(information, gradient[..., None])[..., 0]
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
