"""Places that come back while the robot drives: the map grows with the drive and is searched at once."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from netvlad_core.data.geometry import Pose
from netvlad_core.errors import MapError
from netvlad_core.localization.pose_prior import estimate_pose
from netvlad_core.localization.retrieval import Match
from netvlad_core.mapping.keyframes import KeyframeRule, has_moved
from netvlad_core.mapping.place_map import PlaceMap

# Facing as at the place, or the other way, where the camera sees enough to recognize it.
_FACINGS = (0.0, np.pi)
_CANDIDATES = 30
_LED_BY_EACH = 3
_FEWEST = 5  # keyframes in the window, however far apart they are
_FIRST_CAPACITY = 256
_MEMORY = 50  # keyframes over which the usual similarity of neighbours is taken
# Metres from this drive to the places of an earlier map: their frames have nothing to do with each other.
_APART = np.array([0.0, 0.0, 1e6])


@dataclass(frozen=True)
class LoopClosureOptions:
    """When a place counts as seen again.

    Attributes
    ----------
    keyframes : what becomes a place of the growing map.
    most_keyframes : when there are so many, every second one goes and the rule's distance doubles.
    min_time, min_way : seconds and metres of driving that lie between a place and its return.
    window : metres of driving behind the robot that must match, too.
    radius : metres; another place is further away.
    min_score : likeness that the window must have on average: 0 a usual pair of images, 1 neighbours.
    min_margin : likeness by which it must beat every other place.
    spacing : metres from one closure to the next.
    """

    keyframes: KeyframeRule = field(default_factory=KeyframeRule)
    most_keyframes: int = 20_000
    min_time: float = 20.0
    min_way: float = 30.0
    window: float = 15.0
    radius: float = 10.0
    min_score: float = 0.5
    min_margin: float = 0.15
    spacing: float = 3.0


@dataclass(frozen=True)
class LoopClosure:
    """Two moments at one place.

    Attributes
    ----------
    from_id, to_id : running numbers of the keyframes, the earlier one first.
    from_stamp, to_stamp : nanoseconds.
    relative : pose of `to` in the base frame of `from`.
    covariance : (6, 6) float64 of it, order x y z roll pitch yaw, m^2 and rad^2, about the axes of `from`.
    similarity : inner product of the two descriptors.
    score, margin : as in `LoopClosureOptions`.
    """

    from_id: int
    to_id: int
    from_stamp: int
    to_stamp: int
    relative: Pose
    covariance: np.ndarray
    similarity: float
    score: float
    margin: float


@dataclass(frozen=True, eq=False)
class Keyframes:
    """Places of a drive.

    Attributes
    ----------
    descriptors : (N, D) float32.
    stamps : (N,) int64, nanoseconds.
    poses : (N, 7) float64, x y z qx qy qz qw in one frame.
    """

    descriptors: np.ndarray
    stamps: np.ndarray
    poses: np.ndarray


@dataclass(frozen=True)
class _Recent:
    """A keyframe behind the robot, and its likeness to each older one."""

    pose: Pose
    way: float
    scores: np.ndarray


class LoopCloser:
    """Finds returns in one drive, by look and by odometry over the last metres.

    A single similar image proves nothing: buildings repeat. A closure is given when the images of the last
    metres resemble, on average, the places that odometry predicts around the candidate, and no other place
    does as well. Memory and time for an image are bounded by `most_keyframes`.
    """

    def __init__(self, options: LoopClosureOptions | None = None, earlier: PlaceMap | None = None) -> None:
        """Begin a drive.

        Parameters
        ----------
        earlier : map of an earlier drive, in which places are looked for as well; their ids are its rows.

        Raises
        ------
        MapError
            If it has no poses.
        """
        if earlier is not None and not earlier.has_poses:
            raise MapError(f"the map {earlier.path} has no poses, so no drive can be joined to it")
        self.options = options or LoopClosureOptions()
        self.earlier = earlier
        self._begin()

    def _begin(self) -> None:
        self._rule = self.options.keyframes
        self._next_id = 0
        self._count = 0
        self._descriptors = np.empty((0, 0), np.float32)
        self._ids = np.empty(0, np.int64)
        self._stamps = np.empty(0, np.int64)
        self._poses = np.empty((0, 7))
        self._ways = np.empty(0)
        self._recent: deque[_Recent] = deque()
        self._last: Pose | None = None
        self._way = 0.0
        self._closed_at = -np.inf
        self._neighbours = 0.0  # usual similarity of two keyframes that follow each other
        self._joint: Pose | None = None  # frame of the earlier map <- odom
        if self.earlier is not None:
            self._remember(self.earlier)

    def _remember(self, earlier: PlaceMap) -> None:
        """Put the places of a map before the keyframes to come."""
        count = len(earlier)
        self._grow(earlier.header.dimension, count)
        self._descriptors[:count] = earlier.descriptors
        self._ids[:count] = np.arange(count)
        self._stamps[:count] = earlier.stamps
        self._poses[:count] = earlier.poses
        self._poses[:count, :3] += _APART
        steps = np.linalg.norm(np.diff(earlier.poses[:, :3], axis=0), axis=1)
        self._ways[1:count] = np.cumsum(steps)
        self._way = float(self._ways[count - 1])
        self._count = self._next_id = count
        neighbours = np.einsum("nd,nd->n", earlier.descriptors[1:], earlier.descriptors[:-1])
        self._neighbours = float(np.median(neighbours)) if count > 1 else 0.0

    def __len__(self) -> int:
        """Keyframes in memory."""
        return self._count

    def wants(self, odometry: Pose) -> bool:
        """Whether an image taken there, odom <- base_link, would be a keyframe."""
        return self._last is None or has_moved(odometry, self._last, self._rule)

    def add(self, descriptor: np.ndarray, stamp: int, odometry: Pose) -> LoopClosure | None:
        """Take the next image.

        Parameters
        ----------
        descriptor : (D,) float32, L2-normalised.
        stamp : nanoseconds; one before the last is a clock that was reset, and the drive begins anew.
        odometry : odom <- base_link at the stamp.

        Returns
        -------
        A closure, or None: no keyframe, no place that is old enough, or none that stands out.
        """
        if self._last is not None and stamp < self._stamps[self._count - 1]:
            self._begin()
        if not self.wants(odometry):
            return None
        similarities = self._descriptors[: self._count] @ descriptor if self._count else np.empty(0)
        if self._last is not None:
            self._way += float(np.linalg.norm(odometry.position - self._last.position))
            share = max(1 / _MEMORY, 1 / self._count)
            self._neighbours += share * (float(similarities[-1]) - self._neighbours)
        self._last = odometry
        closure = self._close(similarities, stamp, odometry)
        self._append(descriptor, stamp, odometry)
        return closure

    def _close(self, similarities: np.ndarray, stamp: int, odometry: Pose) -> LoopClosure | None:
        options = self.options
        old = self._count_of_old(stamp)
        scores = self._likeness(similarities[:old])
        self._recent.append(_Recent(odometry, self._way, scores))
        while len(self._recent) > _FEWEST and self._way - self._recent[1].way >= options.window:
            self._recent.popleft()
        is_enough = len(self._recent) >= _FEWEST and self._way - self._recent[0].way >= options.window
        if not is_enough or not len(self._recent[0].scores) or self._way - self._closed_at < options.spacing:
            return None
        candidates = self._candidates(scores)
        supports, facings = self._support(candidates, odometry)
        best = int(np.argmax(supports))
        place, facing = int(candidates[best]), float(facings[best])
        positions = self._poses[candidates, :3]
        rivals = supports[np.linalg.norm(positions - positions[best], axis=1) > options.radius]
        score = float(supports[best])
        margin = score - max(0.0, float(rivals.max(initial=0.0)))
        # The window alone may speak for the place where a street leaves another one that looks like it.
        is_seen = scores[place] >= 0.5 * options.min_score
        if score < options.min_score or margin < options.min_margin or not is_seen:
            return None
        self._closed_at = self._way
        closure = self._closure(place, facing, similarities[:old], stamp, score, margin)
        if self.earlier is not None and closure.from_id < len(self.earlier):
            at_place = self.earlier.pose(closure.from_id)
            assert at_place is not None  # the map has poses
            self._joint = at_place @ closure.relative @ odometry.inverse()
        return closure

    def _likeness(self, similarities: np.ndarray) -> np.ndarray:
        """0 for a usual pair of images, 1 for neighbours of the drive; takes light and network out."""
        if not len(similarities):
            return similarities
        usual = float(similarities.mean())
        return (similarities - usual) / max(self._neighbours - usual, 0.05)

    def _count_of_old(self, stamp: int) -> int:
        """Keyframes that lie long enough behind; they are in the order of driving."""
        options = self.options
        first = self._first_of_drive()
        stamps, ways = self._stamps[first : self._count], self._ways[first : self._count]
        return first + min(
            int(np.searchsorted(stamps, stamp - options.min_time * 1e9, "right")),
            int(np.searchsorted(ways, self._way - options.min_way, "right")),
        )

    def _first_of_drive(self) -> int:
        """Row of the first keyframe that is not of the earlier map."""
        known = 0 if self.earlier is None else len(self.earlier)
        return int(np.searchsorted(self._ids[: self._count], known))

    def _candidates(self, scores: np.ndarray) -> np.ndarray:
        """Rows that resemble the present image most, and those to which the images behind it lead."""
        led = [np.argsort(-scores)[:_CANDIDATES]]
        for recent in self._recent:
            ways = self._ways[np.argsort(-recent.scores)[:_LED_BY_EACH]]
            for way in (self._way - recent.way, recent.way - self._way):
                led.append(np.searchsorted(self._ways[: len(scores)], ways + way).clip(0, len(scores) - 1))
        return np.unique(np.concatenate(led))

    def _support(self, candidates: np.ndarray, odometry: Pose) -> tuple[np.ndarray, np.ndarray]:
        """Mean score of the window along the way that ends at each candidate, and the better facing."""
        oldest = len(self._recent[0].scores)
        tree = cKDTree(self._poses[:oldest, :3])
        reach = 1.5 * max(self._rule.distance or 1.0, 1.0)
        back = odometry.inverse()
        behind = np.array([(back @ recent.pose).position for recent in self._recent])
        rotations = Rotation.from_quat(self._poses[candidates, 3:])
        supports = []
        for facing in _FACINGS:
            turned = Rotation.from_euler("z", facing).apply(behind)
            ways = rotations.as_matrix() @ turned.T  # (C, 3, W)
            predicted = self._poses[candidates, :3, None] + ways
            distances, nearest = tree.query(np.moveaxis(predicted, 1, 2))  # (C, W)
            found = np.stack(
                [recent.scores[nearest[:, index]] for index, recent in enumerate(self._recent)], axis=1
            )
            supports.append(np.where(distances <= reach, found, 0.0).mean(axis=1))
        facing = np.argmax(supports, axis=0)
        return np.max(supports, axis=0), np.array(_FACINGS)[facing]

    def _closure(
        self, place: int, facing: float, similarities: np.ndarray, stamp: int, score: float, margin: float
    ) -> LoopClosure:
        """Relative pose from the similarities of the keyframes around the place."""
        start = Pose(self._poses[place, :3], self._poses[place, 3:])
        around = np.flatnonzero(
            np.linalg.norm(self._poses[: len(similarities), :3] - start.position, axis=1)
            <= self.options.radius
        )
        around = around[np.argsort(-similarities[around])][:10]
        if similarities[place] < similarities[around[0]]:
            around = np.concatenate([[place], around[around != place]])
        matches = [
            Match(
                int(row), int(self._stamps[row]), float(similarities[row]),
                Pose(self._poses[row, :3], self._poses[row, 3:]),
            )
            for row in around
        ]  # fmt: skip
        prior = estimate_pose(matches, self._rule.distance or 1.0, self.options.radius)
        assert prior is not None  # all keyframes have poses
        back = start.rotation.inv().as_matrix()
        axes = np.kron(np.eye(2), back)
        return LoopClosure(
            from_id=int(self._ids[place]),
            to_id=self._next_id,
            from_stamp=int(self._stamps[place]),
            to_stamp=stamp,
            relative=start.inverse() @ prior.pose @ Pose.from_xyz_yaw(0.0, 0.0, yaw=facing),
            covariance=axes @ prior.covariance @ axes.T,
            similarity=float(similarities[place]),
            score=score,
            margin=margin,
        )

    def keyframes(self) -> Keyframes:
        """The drive so far, to be written as a map; with an earlier map its places too, in its frame.

        Raises
        ------
        MapError
            If there is no keyframe yet, or none has been seen in the earlier map: then nobody knows how the
            two belong together.
        """
        rows = slice(self._first_of_drive(), self._count)
        if rows.start == rows.stop:
            raise MapError("there is no keyframe of this drive yet: nothing to save")
        drive = Keyframes(self._descriptors[rows].copy(), self._stamps[rows].copy(), self._poses[rows].copy())
        if self.earlier is None:
            return drive
        if self._joint is None:
            raise MapError(
                f"no place of the map {self.earlier.path} has been seen on this drive, so it cannot be "
                "extended; drive where it was recorded first"
            )
        positions = self._joint.rotation.apply(drive.poses[:, :3]) + self._joint.position
        turns = (self._joint.rotation * Rotation.from_quat(drive.poses[:, 3:])).as_quat()
        return Keyframes(
            np.concatenate([self.earlier.descriptors, drive.descriptors]),
            np.concatenate([self.earlier.stamps, drive.stamps]),
            np.concatenate([self.earlier.poses, np.hstack([positions, turns])]),
        )

    def _append(self, descriptor: np.ndarray, stamp: int, odometry: Pose) -> None:
        if self._count >= self.options.most_keyframes:
            self._thin_out()
        if self._count == len(self._descriptors):
            self._grow(len(descriptor))
        row = self._count
        self._descriptors[row] = descriptor
        self._ids[row], self._stamps[row], self._ways[row] = self._next_id, stamp, self._way
        self._poses[row] = [*odometry.position, *odometry.quaternion]
        self._count += 1
        self._next_id += 1

    def _grow(self, dimension: int, least: int = _FIRST_CAPACITY) -> None:
        capacity = max(least, min(max(_FIRST_CAPACITY, 2 * self._count), self.options.most_keyframes))
        new = np.empty((capacity, dimension), np.float32)
        if self._count:
            new[: self._count] = self._descriptors[: self._count]
        self._descriptors = new
        self._ids, self._stamps = (_resized(array, capacity) for array in (self._ids, self._stamps))
        self._poses, self._ways = (_resized(array, capacity) for array in (self._poses, self._ways))

    def _thin_out(self) -> None:
        kept = np.arange(0, self._count, 2)
        for array in (self._descriptors, self._ids, self._stamps, self._poses, self._ways):
            array[: len(kept)] = array[kept]
        self._count = len(kept)
        self._rule = KeyframeRule(2 * (self._rule.distance or 1.0), self._rule.angle, self._rule.time)
        self._recent.clear()  # its scores count the old rows


def _resized(array: np.ndarray, length: int) -> np.ndarray:
    new = np.zeros((length, *array.shape[1:]), array.dtype)
    new[: len(array)] = array
    return new
