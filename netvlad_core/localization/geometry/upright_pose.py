"""Metric pose of one image among points of the map, by night too.

At night one of four features of an image has its like in the map, or one of ten, and a pose from three points
in RANSAC is seldom the right one. Robots stay upright, however: a camera is as high above the ground and as
tilted as it was when the map was made, or nearly so. Two points then give a pose, and most wrong ones are in
the air or underground.

1. *Matches.* A feature and a point of a place that are each other's nearest, for each place by itself.
2. *Hypotheses.* Poses from pairs of matches; those far from the places, or at another height, are dropped. A
   soft count of all matches chooses a few that differ.
3. *Fit.* Robust least squares with height and tilt as observations, in a radius that becomes smaller. Then
   the matches are looked for again: a point that is seen where it should be needs not be the nearest one.
   Poses half a metre from the right one have nearly as many matches, but these agree less sharply, or in a
   part of the image only: the pose of the sharpest and widest agreement is taken.
4. *Evidence.* The image is divided into cells, and those in which a match agrees are counted, each by how
   well it does: neighbouring features err together. Cells beside each other are worth less, since one tree or
   window may look like another, and so are all the fewer of the features that match agree. The pose is
   compared with the best other one, at least some metres away, which shows what chance gives in this image.
   Counts by chance have the variance of their size, so that

       z = (n - m) / sqrt(n + m)

   is about normal if neither pose is right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy.linalg.lapack import dposv
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from netvlad_core.data.camera import Camera
from netvlad_core.data.geometry import Pose
from netvlad_core.geometry.features import KINDS
from netvlad_core.geometry.local_features import LocalFeatures
from netvlad_core.localization.geometry.surroundings import Surroundings
from netvlad_core.localization.geometry.two_points import poses_from_two, soft_counts
from netvlad_core.localization.pose_prior import PoseEstimate

# Numbers without a word on what was tried are by design; their neighbours were not tried.
_FEWEST = 8  # features that match, and that support a fit
_PAIRS = 3000  # of matches: 10 000 found no more right poses in the town by night
_SCORED = 400  # hypotheses: 1 200 found one more image of a hundred
_MODES = 4  # poses that are fitted
_REACH = 12.0  # metres between a pose and the nearest place
_HEIGHT, _TILT = 0.1, np.radians(1.0)  # standard deviations of what moves on wheels, beside those of the map
_APART, _TURNED = 2.5, np.radians(10.0)  # metres, or radians, between two poses that are not one
_CELLS = 12  # rows of cells in an image
_GUIDED_MARGIN = 0.1  # by which a point seen where it should be may be less similar than the best anywhere
_STEPS = 6  # of a fit
# Standard deviation of an agreeing feature, in tolerances and at most in radians. Of 0.35, 0.5, 0.75 and 1
# tolerances it tells most right poses from wrong ones by night, see docs/localization_results.md. The angle
# is that of a usual lens: through a wide one, where a pixel is more, chance would agree more often.
_SHARP, _SHARP_ANGLE = 0.5, 0.005
# Calibrated as those of `resection.py`.
_POSITION_FLOOR, _ROTATION_FLOOR, _INFLATION = 0.1, np.radians(0.5), 2.0
# Support below which sigma grows with its square: of the features that agree, as many then do by chance, and
# the fit takes them for information. Without this 57 % of the poses of blurred images are inside the 95 %
# ellipse, 81 % in a third of the light; with 85 and 97 % (12: 91 and 97 %), by night 99 instead of 96 %.
_WELL_SUPPORTED = 10.0


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Features and points that may be the same.

    Attributes
    ----------
    features, points : (M,) int, their rows.
    scene : (3, M) the points.
    pixels : (2, M) the features, of an ideal camera.
    """

    features: np.ndarray
    points: np.ndarray
    scene: np.ndarray
    pixels: np.ndarray

    def __len__(self) -> int:
        return len(self.features)

    def take(self, rows: np.ndarray) -> _Pairs:
        """A part of the pairs: rows (K,) int, or (M,) bool."""
        return _Pairs(self.features[rows], self.points[rows], self.scene[:, rows], self.pixels[:, rows])


@dataclass(frozen=True, eq=False)
class Fix(PoseEstimate):
    """A pose and what speaks for it.

    Attributes
    ----------
    camera : (3,) its camera in the map frame, metres.
    cells : cells of the image in which features agree with the pose, each by how well the best of them does.
    spread : the same in blocks of four cells, each by the root of its sum.
    share : of the features that match some point, those that agree, by how well they do.
    others : cameras (R, 3) of the poses that were fitted, this one among them, and cells (R,).
    """

    camera: np.ndarray
    cells: float
    spread: float
    share: float
    others: tuple[np.ndarray, np.ndarray]

    @property
    def support(self) -> float:
        """Spread, worth less the fewer of the features that match agree: of many some agree by chance."""
        return self.spread * float(np.sqrt(self.share))

    def most_beyond(self, metres: float, camera: np.ndarray) -> float:
        """Most cells that agree with a pose farther than this from a camera; 0 if none is."""
        positions, cells = self.others
        is_beyond = np.linalg.norm(positions - camera, axis=1) > metres
        return float(cells[is_beyond].max(initial=0))


def margin(cells: float, rival: float) -> float:
    """By how many standard deviations of chance a pose is better supported than another one."""
    return (cells - rival) / float(np.sqrt(max(1, cells + rival)))


class _Sight:
    """An image before the points, with the camera's vertical known: all in an optical frame.

    `level` turns optical directions so that the map's z axis is up.
    """

    def __init__(self, query: LocalFeatures, camera: Camera, scene: Surroundings) -> None:
        self.query, self.scene, self.tolerance = query, scene, query.tolerance
        self.focal = camera.focal_length
        self.pixels = camera.rays(query.points) * self.focal  # of an ideal camera
        up = camera.mounting.rotation.inv().apply(scene.up)
        self.level, _ = Rotation.align_vectors([[0.0, 0.0, 1.0]], up[None])
        self.up = up
        # Where cameras like this one were: base_link has turned about the vertical only.
        self.lift = float(scene.up @ camera.mounting.position)
        self.heights = scene.bases[:, 2] + self.lift
        self.sigma_height, self.sigma_tilt = np.hypot(_HEIGHT, scene.rise), np.hypot(_TILT, scene.tilt)
        self.similarities = query.descriptors @ scene.descriptors.T
        least = KINDS[query.kind].least_similarity_nearby
        self.matches = self._pairs(*self._mutual(least))
        enough = np.maximum(least, self.similarities.max(axis=1, keepdims=True) - _GUIDED_MARGIN)
        self.similar = self._pairs(*np.divmod(np.flatnonzero(self.similarities >= enough), len(scene)))
        shares = query.points / np.array(query.size) * (_CELLS * query.size[0] / query.size[1], _CELLS)
        self.cell_of = shares.astype(np.int64) @ np.array([1, 1000])
        self.block_of = shares.astype(np.int64) // 2 @ np.array([1, 1000])

    def _mutual(self, least: float) -> tuple[np.ndarray, np.ndarray]:
        """Features and points that are each other's nearest among those of one place; (M,) and (M,)."""
        rows, columns = [], []
        every = np.arange(len(self.query))
        for start, end in zip([0, *self.scene.ends[:-1]], self.scene.ends):
            of_place = self.similarities[:, start:end]
            if not of_place.size:
                continue
            nearest = of_place.argmax(axis=1)
            is_mutual = of_place.argmax(axis=0)[nearest] == every
            kept = every[is_mutual & (of_place[every, nearest] >= least)]
            rows.append(kept)
            columns.append(nearest[kept] + start)
        none = np.empty(0, np.int64)
        return np.concatenate([none, *rows]), np.concatenate([none, *columns])

    def _pairs(self, features: np.ndarray, points: np.ndarray) -> _Pairs:
        scene, pixels = self.scene.points[points].T, self.pixels[features].T
        return _Pairs(features, points, np.ascontiguousarray(scene), np.ascontiguousarray(pixels))

    def errors(self, turn: np.ndarray, shift: np.ndarray, pairs: _Pairs) -> np.ndarray:
        """Pixels between features and points, infinite behind the camera; (M,)."""
        x, y, z = turn @ pairs.scene + shift[:, None]
        scale = self.focal / np.maximum(z, 0.1)
        right, down = x * scale - pairs.pixels[0], y * scale - pairs.pixels[1]
        return np.where(z > 0.1, np.sqrt(right * right + down * down), np.inf)

    def most_similar(self, pairs: _Pairs) -> _Pairs:
        """For each feature the most similar of the points of each place."""
        features, points = pairs.features, pairs.points
        place = np.searchsorted(self.scene.ends, points, side="right")
        order = np.lexsort((-self.similarities[features, points], place, features))
        features, place = features[order], place[order]
        is_first = np.ones(len(order), bool)
        is_first[1:] = (np.diff(features) != 0) | (np.diff(place) != 0)
        return pairs.take(order[is_first])

    def height_at(self, position: np.ndarray) -> float:
        """Height of cameras at the place nearest to (x, y, ...)."""
        away = np.linalg.norm(self.scene.bases[:, :2] - position[:2], axis=1)
        return float(self.heights[away.argmin()])

    def _agreement(self, turn: np.ndarray, shift: np.ndarray, pairs: _Pairs) -> np.ndarray:
        """How well features agree with points, from 1 to 0; (M,)."""
        apart = self.errors(turn, shift, pairs) / min(_SHARP * self.tolerance, _SHARP_ANGLE * self.focal)
        return np.asarray(np.exp(-0.5 * apart**2))

    def cells(self, turn: np.ndarray, shift: np.ndarray) -> tuple[float, float, float]:
        """Cells, spread and share, as in `Fix`, of matches that agree with the pose."""
        agreeing = np.zeros(len(self.query))
        np.maximum.at(agreeing, self.matches.features, self._agreement(turn, shift, self.matches))
        cells = np.zeros(self.cell_of.max() + 1)
        block_of_cell = np.zeros(len(cells), np.int64)
        np.maximum.at(cells, self.cell_of, agreeing)
        block_of_cell[self.cell_of] = self.block_of
        blocks = np.bincount(block_of_cell, cells)
        share = agreeing.sum() / len(np.unique(self.matches.features))
        return float(cells.sum()), float(np.sqrt(blocks).sum()), float(share)

    def sharpness(self, turn: np.ndarray, shift: np.ndarray) -> float:
        """How well similar points agree with the pose; those of one feature count by the root of the sum."""
        return float(
            np.sqrt(np.bincount(self.similar.features, self._agreement(turn, shift, self.similar))).sum()
        )


def locate(query: LocalFeatures, camera: Camera, scene: Surroundings) -> Fix | None:
    """Pose of the image that sees the points; None if nothing agrees.

    Parameters
    ----------
    camera : of the query, for the size of its image.
    """
    if min(len(query), len(scene)) < _FEWEST:
        return None
    sight = _Sight(query, camera, scene)
    if len(np.unique(sight.matches.features)) < _FEWEST:
        return None
    rough = [pose for hypothesis in _hypotheses(sight) if (pose := _fit(sight, hypothesis))]
    fitted = [fit for pose in rough if (fit := _fit_guided(sight, pose))]
    if not fitted:
        return None
    counts = np.array([sight.cells(*one[:2])[0] for one in fitted])
    sharpness = np.array([sight.sharpness(*one[:2]) for one in fitted])
    turn, shift, information = fitted[int(np.argmax(sharpness * counts))]
    others = np.array([-(one.T @ other) for one, other, _ in fitted]) + scene.origin
    at = scene.origin - turn.T @ shift
    base = Pose(at, Rotation.from_matrix(turn.T).as_quat()) @ camera.mounting.inverse()
    fix = Fix(base, np.eye(6), at, *sight.cells(turn, shift), (others, counts))
    inflation = _INFLATION * max(1.0, _WELL_SUPPORTED / max(1.0, fix.support)) ** 2
    return replace(fix, covariance=_covariance(inflation**2 * np.linalg.pinv(information), turn, base, at))


def _hypotheses(sight: _Sight) -> list[tuple[np.ndarray, np.ndarray]]:
    """Poses, as rotation and shift optical <- points, that most matches agree with, and that differ."""
    features, points = sight.matches.features, sight.matches.points
    scene = sight.scene.points[points]
    rays = np.column_stack([sight.pixels[features], np.full(len(features), sight.focal)])
    rays = sight.level.apply(rays / np.linalg.norm(rays, axis=1, keepdims=True))
    # A feature that matches a point of each place counts less than once for each.
    weights = 1 / np.sqrt(np.bincount(features)[features])
    similarity = sight.similarities[features, points]
    chances = (similarity - similarity.min() + 0.05) ** 2 * weights**2
    random = np.random.default_rng(0)
    one, other = random.choice(len(scene), (2, _PAIRS), p=chances / chances.sum())
    poses = poses_from_two(rays[one], rays[other], scene[one], scene[other])
    away = cdist(poses[:, 1:3], sight.scene.bases[:, :2])
    nearest = away.argmin(axis=1)
    risen = np.abs(poses[:, 3] - sight.heights[nearest])
    poses = poses[(away.min(axis=1) <= _REACH) & (risen <= 6 * sight.sigma_height)][:_SCORED]
    if not len(poses):
        return []
    scores = soft_counts(poses, rays, scene, weights, 4 * sight.tolerance / sight.focal)
    chosen: list[np.ndarray] = []
    for row in np.argsort(-scores, kind="stable"):
        if all(_differ(poses[row], other) for other in chosen):
            chosen.append(poses[row])
        if len(chosen) == _MODES:
            break
    turns = [(sight.level.inv() * Rotation.from_rotvec([0, 0, -pose[0]])).as_matrix() for pose in chosen]
    return [(turn, -turn @ pose[1:]) for turn, pose in zip(turns, chosen)]


def _differ(one: np.ndarray, other: np.ndarray) -> bool:
    turned = abs((one[0] - other[0] + np.pi) % (2 * np.pi) - np.pi)
    return bool(np.linalg.norm(one[1:3] - other[1:3]) > _APART or turned > _TURNED)


def _fit(sight: _Sight, pose: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray] | None:
    """The pose fitted to the matches that nearly agree with it."""
    for radius, scale in ((5 * sight.tolerance, 2 * sight.tolerance), (3 * sight.tolerance, sight.tolerance)):
        near = sight.matches.take(sight.errors(*pose, sight.matches) <= radius)
        if len(near) < _FEWEST:
            return None
        found = _least_squares(sight, pose, near, scale)
        if found is None:
            return None
        pose = found[:2]
    return pose


def _fit_guided(
    sight: _Sight, pose: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """The pose fitted to points that are similar and where they should be, and its information (6, 6)."""
    found = None
    for radius in (2.5 * sight.tolerance, 2 * sight.tolerance):
        near = sight.similar.take(sight.errors(*pose, sight.similar) <= radius)
        most = sight.most_similar(near)
        if len(most) < _FEWEST:
            return None
        found = _least_squares(sight, pose, most, 0.75 * sight.tolerance)
        if found is None:
            return None
        pose = found[:2]
    return found


def _least_squares(
    sight: _Sight, pose: tuple[np.ndarray, np.ndarray], pairs: _Pairs, scale: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Gauss-Newton with Geman and McClure's weights; height and tilt are observed, too."""
    (turn, shift), focal = pose, sight.focal
    height = sight.height_at(-(turn.T @ shift))
    slopes = np.zeros((6, 2, len(pairs)))  # of a step (shift, turn) in the optical frame, weighted
    for _ in range(_STEPS):
        x, y, z = turn @ pairs.scene + shift[:, None]
        z = np.maximum(z, 0.1)
        u, v = x / z, y / z
        residuals = np.stack([u, v]) * focal - pairs.pixels
        weights = 1 / (scale + (residuals**2).sum(axis=0) / scale)
        slope = weights * focal / z
        slopes[0, 0] = slopes[1, 1] = slope
        slopes[2] = -u * slope, -v * slope
        slopes[3] = y * slopes[2, 0], y * slopes[2, 1] - z * slope
        slopes[4] = z * slope - x * slopes[2, 0], -x * slopes[2, 1]
        slopes[5] = -y * slope, x * slope
        flat = slopes.reshape(6, -1)
        information = flat @ flat.T
        gradient = flat @ (residuals * weights).ravel()
        up = turn[:, 2]
        cross = np.array([[0, up[2], -up[1]], [-up[2], 0, up[0]], [up[1], -up[0], 0]])
        information[3:, 3:] += cross.T @ cross / sight.sigma_tilt**2
        gradient[3:] += cross.T @ (up - sight.up) / sight.sigma_tilt**2
        of_height = np.concatenate([-up, np.zeros(3)])
        information += np.outer(of_height, of_height) / sight.sigma_height**2
        gradient += of_height * (-(turn.T @ shift)[2] - height) / sight.sigma_height**2
        _, step, failed = dposv(information, -gradient)
        if failed:
            return None
        change, _ = cv2.Rodrigues(step[3:])
        turn, shift = change @ turn, change @ shift + step[:3]
        if np.abs(step).max() < 1e-4:
            break
    return turn, shift, information


def _covariance(of_step: np.ndarray, turn: np.ndarray, pose: Pose, camera: np.ndarray) -> np.ndarray:
    """(6, 6) of base_link about the map's axes, from that of a step in the optical frame."""
    # A step (s, w) in the optical frame moves the camera by -R^T s and turns it by -R^T w in the map, and
    # base_link with it.
    to_map = np.zeros((6, 6))
    to_map[:3, :3], to_map[3:, 3:] = -turn.T, -turn.T
    x, y, z = pose.position - camera
    to_map[:3, 3:] = -np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ to_map[3:, 3:]
    covariance = to_map @ of_step @ to_map.T
    return (covariance + covariance.T) / 2 + np.diag(np.repeat([_POSITION_FLOOR**2, _ROTATION_FLOOR**2], 3))
