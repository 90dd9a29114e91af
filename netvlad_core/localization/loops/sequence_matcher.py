"""Places that come back by appearance: the last metres resemble those along which odometry leads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.geometry.seen import VerifiedMatch
from netvlad_core.localization.loops.growing_map import GrowingMap
from netvlad_core.localization.loops.loop_options import LoopClosureOptions
from netvlad_core.localization.pose_prior import PosedMatch, estimate_pose

FEWEST = 5  # keyframes in the window, however far apart they are: fewer are one building, not a street
# Facing as at the place, or the other way: a camera that sees all around recognizes it.
_FACINGS = (0.0, np.pi)
# Rows that a return may end at: the most similar to the current image, and for each image of the window those
# to which its most similar ones lead. Bounds of time; the window decides among them. Not tuned.
_CANDIDATES = 30
_LED_BY_EACH = 3
_BESIDE = 5  # keyframes before and behind a place, over which their spacing is taken; not tuned
_AROUND = 10  # matches around a place that make its pose, as many as the localizer takes
# The current image needs this share of `min_score`: a window in which all others match may be the end of a
# street that has turned off a known one. By this reasoning; neighbours were not tried.
_CURRENT_SHARE = 0.5
# Spacings by which odometry may miss a keyframe on the way: half of the gap between two, and as much again.
# By this reasoning; neighbours were not tried.
_REACH = 1.5


@dataclass(frozen=True, eq=False)
class Recent:
    """A keyframe behind the robot.

    Attributes
    ----------
    pose : odom <- base_link.
    distance : metres driven until there.
    scores : (K,) normalised similarity to each older keyframe.
    verified : what geometry says of its image.
    """

    pose: Pose
    distance: float
    scores: np.ndarray
    verified: VerifiedMatch | None

    @cached_property
    def best(self) -> np.ndarray:
        """Rows of the most similar keyframes; they stay the same while the keyframe is in the window."""
        return np.argsort(-self.scores)[:_CANDIDATES]


@dataclass(frozen=True)
class SequenceMatcher:
    """The window of the last metres, and the places that it may have come back to.

    Attributes
    ----------
    recent : keyframes of the window, the current one last.
    spacing : metres between keyframes.
    """

    places: GrowingMap
    recent: Sequence[Recent]
    options: LoopClosureOptions
    spacing: float

    def find(self, similarities: np.ndarray, odometry: Pose) -> PosedMatch | None:
        """The place whose surroundings resemble the whole window more than those of any other place do."""
        options, oldest, scores = self.options, self.recent[0], self.recent[-1].scores
        is_full = len(self.recent) >= FEWEST and self._driven_since(oldest) >= options.window
        if not is_full or not len(oldest.scores):
            return None
        candidates = self._candidates(len(scores))
        supports, facings = self._support(candidates, odometry)
        best = int(np.argmax(supports))
        place, facing = int(candidates[best]), float(facings[best])
        positions = self.places.poses[candidates, :3]
        rivals = supports[np.linalg.norm(positions - positions[best], axis=1) > options.radius]
        score = float(supports[best])
        margin = score - max(0.0, float(rivals.max(initial=0.0)))
        is_seen = scores[place] >= _CURRENT_SHARE * options.min_score
        if score < options.min_score or margin < options.min_margin or not is_seen:
            return None
        return self._around(place, facing, similarities)

    def _driven_since(self, recent: Recent) -> float:
        return self.recent[-1].distance - recent.distance

    def _candidates(self, count: int) -> np.ndarray:
        """Rows that resemble the current image most, and those to which the images behind it lead."""
        led = [self.recent[-1].best]
        known = self.places.distances[:count]
        for recent in self.recent:
            distances = self.places.distances[recent.best[:_LED_BY_EACH]]
            since = self._driven_since(recent)
            for driven in (since, -since):
                led.append(np.searchsorted(known, distances + driven).clip(0, count - 1))
        return np.unique(np.concatenate(led))

    def _support(self, candidates: np.ndarray, odometry: Pose) -> tuple[np.ndarray, np.ndarray]:
        """Mean score of the window along the path that ends at each candidate, and the better facing."""
        oldest = len(self.recent[0].scores)
        poses = self.places.poses
        # Made for each keyframe, since ever more places are old enough. Unbalanced, it takes a third of the
        # time: 10 instead of 27 ms among 20 000 places.
        tree = cKDTree(poses[:oldest, :3], compact_nodes=False, balanced_tree=False)
        reach = _REACH * max(self.spacing, 1.0)
        back = odometry.inverse()
        behind = np.array([(back @ recent.pose).position for recent in self.recent])
        rotations = Rotation.from_quat(poses[candidates, 3:])
        supports = []
        for facing in _FACINGS:
            turned = Rotation.from_euler("z", facing).apply(behind)
            predicted = poses[candidates, :3, None] + rotations.as_matrix() @ turned.T  # (C, 3, W)
            distances, nearest = tree.query(np.moveaxis(predicted, 1, 2))  # (C, W)
            scores = [recent.scores[rows] for recent, rows in zip(self.recent, nearest.T)]
            supports.append(np.where(distances <= reach, np.stack(scores, axis=1), 0.0).mean(axis=1))
        facing = np.argmax(supports, axis=0)
        return np.max(supports, axis=0), np.array(_FACINGS)[facing]

    def _around(self, place: int, facing: float, similarities: np.ndarray) -> PosedMatch:
        """Pose from the similarities of the keyframes around the place."""
        places, radius = self.places, self.options.radius
        away = np.linalg.norm(places.poses[: len(similarities), :3] - places.poses[place, :3], axis=1)
        around = np.flatnonzero(away <= radius)
        around = around[np.argsort(-similarities[around])][:_AROUND]
        if similarities[place] < similarities[around[0]]:
            around = np.concatenate([[place], around[around != place]])
        between = np.diff(places.distances[max(0, place - _BESIDE) : place + _BESIDE + 1])
        spacing = max(float(np.median(between)), self.spacing)
        prior = estimate_pose(places.matches(around, similarities[around]), spacing, radius)
        assert prior is not None  # all keyframes have poses
        pose = prior.pose @ Pose.from_xyz_yaw(0.0, 0.0, yaw=facing)
        return PosedMatch(pose, prior.covariance, place, float(similarities[place]), 0)
