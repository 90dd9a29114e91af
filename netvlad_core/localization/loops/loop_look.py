"""Places that come back by their look: all of the last metres resemble those along which odometry leads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.geometry.sighting import Sighting
from netvlad_core.localization.loops.growing_map import GrowingMap
from netvlad_core.localization.loops.loop_options import LoopClosureOptions
from netvlad_core.localization.pose_prior import estimate_pose

FEWEST = 5  # keyframes in the window, however far apart they are
# Facing as at the place, or the other way, where the camera sees enough to recognize it.
_FACINGS = (0.0, np.pi)
_CANDIDATES = 30
_LED_BY_EACH = 3
_BESIDE = 5  # keyframes before and behind a place, over which their spacing is taken


@dataclass(frozen=True)
class Recent:
    """A keyframe behind the robot, its likeness to each older one, and what geometry says of it."""

    pose: Pose
    way: float
    scores: np.ndarray
    sighting: Sighting | None


@dataclass(frozen=True)
class Found:
    """A place that came back: its row, and the pose of the image in the frame of the rows."""

    place: int
    pose: Pose
    covariance: np.ndarray
    similarity: float
    inliers: int


@dataclass(frozen=True)
class LookSearch:
    """The window of the last metres, and the places that it may have come back to.

    Attributes
    ----------
    recent : keyframes of the window, the present one last.
    spacing : metres between keyframes.
    """

    places: GrowingMap
    recent: Sequence[Recent]
    options: LoopClosureOptions
    spacing: float

    def find(self, similarities: np.ndarray, odometry: Pose) -> Found | None:
        """The place whose surroundings resemble all of the window, and no other's do as much."""
        options, oldest, scores = self.options, self.recent[0], self.recent[-1].scores
        is_enough = len(self.recent) >= FEWEST and self._way_since(oldest) >= options.window
        if not is_enough or not len(oldest.scores):
            return None
        candidates = self._candidates(scores)
        supports, facings = self._support(candidates, odometry)
        best = int(np.argmax(supports))
        place, facing = int(candidates[best]), float(facings[best])
        positions = self.places.poses[candidates, :3]
        rivals = supports[np.linalg.norm(positions - positions[best], axis=1) > options.radius]
        score = float(supports[best])
        margin = score - max(0.0, float(rivals.max(initial=0.0)))
        # The window alone may speak for the place where a street leaves another one that looks like it.
        is_seen = scores[place] >= 0.5 * options.min_score
        if score < options.min_score or margin < options.min_margin or not is_seen:
            return None
        return self._around(place, facing, similarities)

    def _way_since(self, recent: Recent) -> float:
        return self.places.way - recent.way

    def _candidates(self, scores: np.ndarray) -> np.ndarray:
        """Rows that resemble the present image most, and those to which the images behind it lead."""
        led = [np.argsort(-scores)[:_CANDIDATES]]
        known = self.places.ways[: len(scores)]
        for recent in self.recent:
            ways = self.places.ways[np.argsort(-recent.scores)[:_LED_BY_EACH]]
            since = self._way_since(recent)
            for way in (since, -since):
                led.append(np.searchsorted(known, ways + way).clip(0, len(scores) - 1))
        return np.unique(np.concatenate(led))

    def _support(self, candidates: np.ndarray, odometry: Pose) -> tuple[np.ndarray, np.ndarray]:
        """Mean score of the window along the way that ends at each candidate, and the better facing."""
        oldest = len(self.recent[0].scores)
        poses = self.places.poses
        tree = cKDTree(poses[:oldest, :3])
        reach = 1.5 * max(self.spacing, 1.0)
        back = odometry.inverse()
        behind = np.array([(back @ recent.pose).position for recent in self.recent])
        rotations = Rotation.from_quat(poses[candidates, 3:])
        supports = []
        for facing in _FACINGS:
            turned = Rotation.from_euler("z", facing).apply(behind)
            ways = rotations.as_matrix() @ turned.T  # (C, 3, W)
            predicted = poses[candidates, :3, None] + ways
            distances, nearest = tree.query(np.moveaxis(predicted, 1, 2))  # (C, W)
            found = np.stack(
                [recent.scores[nearest[:, index]] for index, recent in enumerate(self.recent)], axis=1
            )
            supports.append(np.where(distances <= reach, found, 0.0).mean(axis=1))
        facing = np.argmax(supports, axis=0)
        return np.max(supports, axis=0), np.array(_FACINGS)[facing]

    def _around(self, place: int, facing: float, similarities: np.ndarray) -> Found:
        """Pose from the similarities of the keyframes around the place."""
        places, radius = self.places, self.options.radius
        away = np.linalg.norm(places.poses[: len(similarities), :3] - places.poses[place, :3], axis=1)
        around = np.flatnonzero(away <= radius)
        around = around[np.argsort(-similarities[around])][:10]
        if similarities[place] < similarities[around[0]]:
            around = np.concatenate([[place], around[around != place]])
        between = np.diff(places.ways[max(0, place - _BESIDE) : place + _BESIDE + 1])
        spacing = max(float(np.median(between)), self.spacing)
        prior = estimate_pose(places.matches(around, similarities), spacing, radius)
        assert prior is not None  # all keyframes have poses
        pose = prior.pose @ Pose.from_xyz_yaw(0.0, 0.0, yaw=facing)
        return Found(place, pose, prior.covariance, float(similarities[place]), 0)
