"""Places that come back while the robot drives: the map grows with the drive and is searched at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from netvlad_core.data.geometry import Pose
from netvlad_core.errors import ImageError, MapError, PoseError
from netvlad_core.localization.elsewhere import MEASURED, Elsewhere, distance
from netvlad_core.localization.geometry.seen import VerifiedMatch
from netvlad_core.localization.geometry.verification import Verifier
from netvlad_core.localization.loops.growing_map import GrowingMap
from netvlad_core.localization.loops.loop_options import LoopClosureOptions
from netvlad_core.localization.loops.sequence_matcher import FEWEST, Recent, SequenceMatcher
from netvlad_core.localization.loops.strangers import Strangers
from netvlad_core.localization.observation import Observation
from netvlad_core.localization.pose_prior import PosedMatch
from netvlad_core.mapping.keyframes import KeyframeRule, has_moved
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.places import Match, Places
from netvlad_core.mapping.statistics import UsualSimilarity, normalised

# Keyframes over which the usual similarity of neighbours is taken: the present street. By design; neighbours
# were not tried.
_MEMORY = 50
# Standard deviations by which odometry errs over the places around one, whose points measure a pose.
_DRIFT_AROUND, _TURN_AROUND = 0.3, np.radians(1.0)  # metres


@dataclass(frozen=True)
class LoopClosure:
    """Two moments at one place.

    Attributes
    ----------
    from_id, to_id : running numbers of the keyframes, the earlier one first.
    from_stamp, to_stamp : nanoseconds.
    relative : pose of `to` in the base frame of `from`.
    covariance : (6, 6) float64, order x y z roll pitch yaw, m^2 and rad^2, about the axes of `from`.
    similarity : inner product of the two descriptors.
    inliers : local features that support the closure; 0 without geometry.
    """

    from_id: int
    to_id: int
    from_stamp: int
    to_stamp: int
    relative: Pose
    covariance: np.ndarray
    similarity: float
    inliers: int = 0


class LoopCloser:
    """Finds returns in one drive, by appearance and odometry over the last metres, and by geometry if asked.

    A single similar image is no proof, since buildings repeat. A place is a closure if the images of the last
    metres resemble, on average, the places that odometry predicts around it, and no other place does as well.
    With verification geometry must also confirm the current image there; several images that geometry and
    odometry put at one place suffice, too. `most_keyframes` bounds memory and time for an image.

    Parameters
    ----------
    earlier : map of an earlier drive, in which places are looked for as well; their ids are its rows.
    keeps_images : whether images are kept for a map that is to have some; geometry does not need them, if the
        observations have local features.

    Raises
    ------
    MapError
        If the earlier map has no poses.

    Examples
    --------
    >>> from netvlad_core import Extractor, LoopCloser, Observation, open_source
    >>> extractor, closer, closures = Extractor.load("campus.safetensors", "cpu"), LoopCloser(), []
    >>> for lap in range(2):
    ...     for frame in open_source("drive/catalogue.csv"):
    ...         stamp = frame.stamp + lap * 100 * 10**9
    ...         closure = closer.add(Observation(stamp, extractor(frame.decode())[0], frame.pose))
    ...         closures += [closure] if closure else []
    >>> closures[0].to_id - closures[0].from_id, bool(closures[0].similarity > 0.9)
    (40, True)
    """

    def __init__(
        self,
        options: LoopClosureOptions | None = None,
        earlier: PlaceMap | None = None,
        keeps_images: bool = False,
    ) -> None:
        if earlier is not None and not earlier.has_poses:
            raise MapError(f"the map {earlier.path} has no poses, so no drive can be joined to it")
        self.options = options or LoopClosureOptions()
        self.earlier = earlier
        self._keeps_images = keeps_images
        self._begin()

    def _begin(self, next_id: int = 0) -> None:
        self._rule = self.options.keyframes
        self._map = GrowingMap(self.options.most_keyframes, self.earlier, self._keeps_images, next_id)
        verification = self.options.verification
        self._verifier = None if verification is None else Verifier(self._map, verification)
        self._distance = self._map.distance  # metres driven
        self._recent: deque[Recent] = deque()
        self._strangers = Strangers()
        self._last: Pose | None = None
        self._closed_at = -np.inf
        self._neighbours = 0.0  # usual similarity of two keyframes that follow each other
        self._joint: Pose | None = None  # frame of the earlier map <- odom
        if self.earlier is not None and len(self.earlier) > 1:
            self._neighbours = 1 - UsualSimilarity.of(self.earlier.descriptors).neighbour_difference

    def __len__(self) -> int:
        """Keyframes in memory."""
        return len(self._map)

    @property
    def next_id(self) -> int:
        """Number that the next keyframe gets."""
        return self._map.next_id

    def reset(self) -> None:
        """Begin another drive; the numbers of its keyframes continue."""
        self._begin(self._map.next_id)

    def wants(self, odometry: Pose) -> bool:
        """Whether an image taken there, odom <- base_link, would be a keyframe."""
        return self._last is None or has_moved(odometry, self._last, self._rule)

    def add(self, observation: Observation, image: np.ndarray | None = None) -> LoopClosure | None:
        """Take the next image and return a closure, or None.

        None means no keyframe, no place that is old enough, or none that stands out. Raises ImageError if the
        descriptor is not finite, PoseError if there is no odometry.

        Parameters
        ----------
        observation : needs odometry, and for verification local features. A stamp before the last one means a
            clock that was reset: the drive begins anew.
        image : (H, W, 3) uint8 RGB, kept if images are.
        """
        descriptor, stamp, odometry = observation.descriptor, observation.stamp, observation.odometry
        if odometry is None:
            raise PoseError("a loop closure needs odometry, and the observation has none")
        if not np.isfinite(descriptor).all():  # it would stay in the map for good
            raise ImageError("the descriptor of the image is not finite")
        if self._last is not None and stamp < self._map.stamps[-1]:
            self.reset()  # who hears the closures may still know the old numbers
        if not self.wants(odometry):
            return None
        self._map.camera = observation.camera
        similarities = self._map.descriptors.similarities(descriptor)
        if self._last is not None:
            self._distance += float(np.linalg.norm(odometry.position - self._last.position))
            share = max(1 / _MEMORY, 1 / len(self))
            self._neighbours += share * (float(similarities[-1]) - self._neighbours)
        self._last = odometry
        closure = self._close(similarities, observation, odometry)
        if self._map.is_full:
            self._thin_out()
        kept = None if self._verifier is None else observation.features
        self._map.append(descriptor, stamp, odometry, image, self._distance, kept)
        return closure

    def _close(
        self, similarities: np.ndarray, observation: Observation, odometry: Pose
    ) -> LoopClosure | None:
        stamp = observation.stamp
        similarities = similarities[: self._count_of_old(stamp)]
        verified = self._verify(similarities, observation, odometry)
        scores = normalised(similarities, self._neighbours)
        self._recent.append(Recent(odometry, self._distance, scores, verified))
        while len(self._recent) > FEWEST and self._distance - self._recent[1].distance >= self.options.window:
            self._recent.popleft()
        if self._distance - self._closed_at < self.options.spacing:
            return None
        matcher = SequenceMatcher(self._map, self._recent, self.options, self._rule.distance or 0.0)
        found = matcher.find(similarities, odometry)
        found = self._by_geometry() if found is None else self._confirmed(found)
        if found is None:
            return None
        self._closed_at = self._distance
        closure = self._closure(found, stamp)
        if self.earlier is not None and closure.from_id < len(self.earlier):
            at_place = self.earlier.pose(closure.from_id)
            assert at_place is not None  # the map has poses
            self._joint = at_place @ closure.relative @ odometry.inverse()
        return closure

    def _count_of_old(self, stamp: int) -> int:
        """Keyframes that lie long enough behind; they are in the order of driving."""
        options, first = self.options, self._map.first_of_drive
        stamps, distances = self._map.stamps[first:], self._map.distances[first:]
        return first + min(
            int(np.searchsorted(stamps, stamp - options.min_time * 1e9, "right")),
            int(np.searchsorted(distances, self._distance - options.min_way, "right")),
        )

    # --- By geometry ----------------------------------------------------------------------------------------

    def _verify(
        self, similarities: np.ndarray, observation: Observation, odometry: Pose
    ) -> VerifiedMatch | None:
        """Compare the image with the most similar places and that to which the last verified one leads."""
        verifier, options = self._verifier, self.options.verification
        if verifier is None or options is None or observation.features is None or not len(similarities):
            return None
        rows = list(np.argsort(-similarities, kind="stable")[: options.most_places])
        last = next((r for r in reversed(self._recent) if r.verified is not None), None)
        if last is not None and last.verified is not None:
            predicted = last.verified.pose @ last.pose.inverse() @ odometry
            away = np.linalg.norm(self._map.poses[: len(similarities), :3] - predicted.position, axis=1)
            nearest = int(np.argmin(away))
            if away[nearest] <= self.options.radius and nearest not in rows:
                rows = [nearest, *rows[:-1]]
        matches = self._map.matches(rows, similarities[rows])
        seen = verifier.see(observation, matches, self.options.radius)
        if seen is None:
            return None
        self._learn(seen.matches, odometry)
        return seen.verified and self._anchored(seen.verified, similarities)

    def _anchored(self, verified: VerifiedMatch, similarities: np.ndarray) -> VerifiedMatch:
        """The match with the place that measured it, and with what odometry adds to its uncertainty."""
        if not verified.is_metric:
            return verified
        away = float(np.linalg.norm(self._map.poses[verified.anchor, :3] - verified.pose.position))
        return replace(
            verified,
            place=verified.anchor,
            similarity=float(similarities[verified.anchor]),
            covariance=verified.covariance + np.diag(np.repeat([_DRIFT_AROUND**2, _TURN_AROUND**2], 3)),
            is_near=away <= self.options.radius,
        )

    def _learn(self, matches: Sequence[Match], odometry: Pose) -> None:
        """Learn from comparisons with places of the drive what inliers are worth."""
        own = [match for match in matches if match.place >= self._map.first_of_drive]
        rows = np.array([match.place for match in own], np.int64)
        away = np.linalg.norm(self._map.poses[rows, :3] - odometry.position, axis=1)
        way = self._distance - self._map.distances[rows]
        self._strangers.add(own, away, way)
        if (likelihood := self._strangers.likelihood()) is not None:
            self._map.teach(likelihood)

    def _by_geometry(self) -> PosedMatch | None:
        """The verified match of the current image, if enough of the window and most of it agree."""
        current = self._recent[-1]
        now = current.verified
        if now is None or not now.is_near:
            return None
        # Rows of equal houses agree over tens of metres, but the image as a whole looks less like them.
        if current.scores[now.place] < self.options.min_score:
            return None
        count = agreeing = 1
        for before in list(self._recent)[:-1]:
            if (verified := before.verified) is not None:
                seen = verified.pose.inverse() @ now.pose
                driven = before.pose.inverse() @ current.pose
                is_metric = verified.is_metric and now.is_metric
                count += 1
                agreeing += distance(seen, driven) <= (MEASURED if is_metric else self.options.radius)
        return now if agreeing >= self.options.sightings and 2 * agreeing > count else None

    def _confirmed(self, found: PosedMatch) -> PosedMatch | None:
        """What appearance found; with verification only if geometry confirms it, and as it measures it."""
        if self._verifier is None:
            return found
        verified, elsewhere = self._recent[-1].verified, Elsewhere(self.options.radius)
        if verified is None:
            return None
        away = distance(verified.pose, found.pose)
        if verified.is_metric:
            return verified if away <= elsewhere.radius else None
        return replace(found, inliers=verified.inliers) if away <= elsewhere.between_places else None

    # --- The drive so far -----------------------------------------------------------------------------------

    def _closure(self, found: PosedMatch, stamp: int) -> LoopClosure:
        start = self._map.pose(found.place)
        assert start is not None  # all keyframes have poses
        axes = np.kron(np.eye(2), start.rotation.inv().as_matrix())
        return LoopClosure(
            from_id=int(self._map.ids[found.place]),
            to_id=self._map.next_id,
            from_stamp=int(self._map.stamps[found.place]),
            to_stamp=stamp,
            relative=start.inverse() @ found.pose,
            covariance=axes @ found.covariance @ axes.T,
            similarity=found.similarity,
            inliers=found.inliers,
        )

    def keyframes(self) -> Places:
        """The drive so far, to be written as a map; with an earlier map its places too, in its frame.

        Raises MapError if there is no keyframe yet, or none has been seen in the earlier map: then nobody
        knows how the two belong together.
        """
        return self._map.keyframes(self._joint)

    def _thin_out(self) -> None:
        self._map.thin_out()
        self._rule = KeyframeRule(2 * (self._rule.distance or 1.0), self._rule.angle, self._rule.time)
        self._recent.clear()  # what it holds, and what the verifier keeps, is by the old rows
        if self._verifier is not None:
            self._verifier = Verifier(self._map, self.options.verification)
