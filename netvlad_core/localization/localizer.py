"""The localizer: images in, the places they may show and a pose out.

`locate` judges one image by itself; `track` follows a drive, and is the one to act on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from copy import copy, deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np

from netvlad_core.data.frames import Frame
from netvlad_core.data.geometry import Pose
from netvlad_core.errors import ImageError, MapError
from netvlad_core.localization.anchored_pose import AnchoredPose
from netvlad_core.localization.answer import (
    CONTRADICTION,
    DISAGREEMENT,
    FAR_AWAY,
    NO_POSES,
    NOT_CONFIRMED,
    NOT_SIMILAR,
    NOTHING_AROUND,
    Localization,
)
from netvlad_core.localization.appearances import Appearances
from netvlad_core.localization.carried_pose import CarriedPose
from netvlad_core.localization.geometry.seen import Seen
from netvlad_core.localization.geometry.verification import Verifier
from netvlad_core.localization.geometry.verification_options import HasTime, VerificationOptions, unbounded
from netvlad_core.localization.last_place import LastPlace
from netvlad_core.localization.localizer_options import LocalizerOptions
from netvlad_core.localization.observation import Observation, Observer, observe_frames
from netvlad_core.localization.pose_prior import PoseEstimate, PosePrior, agrees, estimate_pose
from netvlad_core.localization.spots import Spots
from netvlad_core.localization.standard_scores import StandardScores
from netvlad_core.localization.tracking.sequence_filter import (
    SAME_SPOT,
    Belief,
    SequenceFilter,
    State,
)
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.places import Match
from netvlad_core.mapping.statistics import UsualSimilarity
from netvlad_core.model.extractor import Extractor
from netvlad_core.search import open_index

# Places that the filter weighs: a bound of time; GPU indexes of FAISS give no more than twice as many.
_CANDIDATES = 1000
_TURNED_ROUND = Pose.from_xyz_yaw(0.0, 0.0, yaw=np.pi)


class Localizer:
    """Finds images in one map.

    Parameters
    ----------
    place_map : the map.
    extractor : must carry the map's own model.
    options : fixed; `with_options` gives another localizer.

    Attributes
    ----------
    observe : the `Observer` that makes observations of images; it finds local features if geometry verifies.

    Raises
    ------
    MapError
        If map and model do not belong together, or the map is empty.

    Examples
    --------
    >>> from netvlad_core import Localizer, open_source
    >>> localizer = Localizer.open("maps/campus", device="cpu")
    >>> for frame in open_source("evening/catalogue.csv"):
    ...     answer = localizer.track(localizer.observe(frame.decode(), frame.stamp, odometry=frame.pose))
    >>> answer.state.name, answer.place > 35, answer.prior.covariance.shape
    ('LOCALIZED', True, (6, 6))
    """

    def __init__(
        self, place_map: PlaceMap, extractor: Extractor, options: LocalizerOptions | None = None
    ) -> None:
        place_map.check_model(extractor)
        if not len(place_map):
            raise MapError(f"the map {place_map.path} has no places")
        self.place_map = place_map
        self.extractor = extractor
        self.options = options or LocalizerOptions()
        self.index = open_index(place_map.descriptors, stored=place_map.index_path)
        self.observe = Observer(extractor)
        # Views of several drives at one spot are one place to the filter, as likely as the best of them.
        self._spots = Spots.of_map(place_map, place_map.header.spacing)
        self._appearances = Appearances(place_map, self._spots)
        first = self._spots.first
        self._sequence = SequenceFilter(
            place_map.poses[first], place_map.stamps[first], self.options.sequence
        )
        self._last_descriptor: np.ndarray | None = None
        self._carried = CarriedPose()
        self._anchored = AnchoredPose(place_map.header.spacing)
        self._usual = UsualSimilarity.of(place_map.descriptors)
        self._standard = StandardScores(place_map, self._usual)
        self._verifier: Verifier | None = None
        self._prepare_geometry()

    def _prepare_geometry(self) -> None:
        """Keep the verifier as long as the options allow it; what it has found in the map is worth much."""
        options, known = self.verification, self._verifier
        features, kind = 0, self.observe.kind
        if options:
            self._verifier = (
                known.with_options(options) if known else Verifier.of_map(self.place_map, options)
            )
            features, kind = self._verifier.looked_for
        self.observe = replace(self.observe, features=features, kind=kind)

    @property
    def verification(self) -> VerificationOptions | None:
        """Options of geometry if images are verified in this map, else None."""
        options, stored = self.options.verification, self.place_map.features
        has_learned = stored is not None and stored.likelihood is not None
        return None if options is None or (options.needs_features and not has_learned) else options

    @property
    def doubt(self) -> str:
        """What in the map keeps the options from their full effect, one sentence; empty if nothing does."""
        header = self.place_map.header
        if self.verification is None or header.store_images == "full" or self.place_map.features:
            return ""
        return (
            f"verification compares with {header.store_images} images of the map {header.map_id}, which are "
            "too small to measure poses; build it with --store-features, or with --store-images full"
        )

    def with_options(self, options: LocalizerOptions) -> Localizer:
        """The same map, index and caches with other options.

        The drive that has been tracked so far goes on in both, each by itself.
        """
        if options == self.options:
            return self
        changed = copy(self)
        changed.options = options
        changed._sequence = self._sequence.with_options(options.sequence)
        changed._carried, changed._anchored = copy(self._carried), deepcopy(self._anchored)
        changed._prepare_geometry()
        return changed

    @classmethod
    def open(
        cls,
        map_path: Path | str,
        weights: Path | str | None = None,
        device: str = "auto",
        options: LocalizerOptions | None = None,
        precision: str = "auto",
    ) -> Localizer:
        """Open a map, every checksum compared, with its network; see `PlaceMap.open_extractor`."""
        place_map = PlaceMap.open(map_path, verify=True)
        extractor = place_map.open_extractor(Path(weights) if weights else None, device, precision)
        return cls(place_map, extractor, options)

    @property
    def min_similarity(self) -> float:
        """The threshold in force on the score of a single image: the option, or the map's own."""
        verifier = self._verifier if self.verification else None
        if self.options.min_similarity is None and verifier is not None and verifier.likelihood is not None:
            return verifier.likelihood.threshold
        return self._least_similarity

    @property
    def _least_similarity(self) -> float:
        """Similarity below which the place of a single image is LOST, not AMBIGUOUS."""
        chosen = self.options.min_similarity
        return self.place_map.header.similarity_threshold if chosen is None else chosen

    @property
    def counts_inliers(self) -> bool:
        """Whether a single image is judged by inliers: with verification in a map without a likelihood."""
        verifier = self._verifier if self.verification else None
        return verifier is not None and verifier.likelihood is None

    def __call__(self, image: np.ndarray, stamp: int = 0) -> Localization:
        """Localize one image, uint8 RGB (H, W, 3); raises ImageError for anything else."""
        return self.locate(self.observe(image, stamp))

    def locate(self, observation: Observation, has_time: HasTime = unbounded) -> Localization:
        """Localize one image by itself.

        With verification the scores of the matches count, which inliers raise, and a pose that is measured
        counts in any case. In a map without a likelihood geometry decides: LOCALIZED if it confirms a place
        and none elsewhere as well, AMBIGUOUS if places are similar enough.

        Parameters
        ----------
        has_time : bounds the time of verification, see `Verifier.see`.
        """
        query = self.place_map.reduced(observation.descriptor[None])
        is_one_drive = len(self.place_map.drives) == 1
        similarities, places = self._search(query, self.options.top_k if is_one_drive else _CANDIDATES)
        best = self._best_views(query[0], similarities, places)[: self.options.top_k]
        matches: Sequence[Match] = self.place_map.matches(places[best], similarities[best])
        is_similar = matches[0].similarity >= self._least_similarity
        if (seen := self._see(observation, matches, has_time)) is not None:
            matches = seen.matches
        if seen is not None and not seen.is_calibrated:
            prior, reason = self._seen_prior(seen)
        else:
            prior, reason = self._scored_prior(matches, seen)
        unsure = State.AMBIGUOUS if is_similar else State.LOST
        state = State.LOCALIZED if prior else unsure
        confidence = seen.confidence if seen else matches[0].similarity
        return Localization(
            observation.stamp, state, matches, prior, observation.descriptor, confidence, None, reason
        )

    def track(self, observation: Observation, has_time: HasTime = unbounded) -> Localization:
        """Localize the next image of a drive, by what the images before it have shown as well.

        A stamp before the last one starts anew.

        Parameters
        ----------
        has_time : bounds the time of verification, see `Verifier.see`.

        Raises
        ------
        ImageError
            If the descriptor is not finite.
        """
        descriptor, odometry = observation.descriptor, observation.odometry
        if not np.isfinite(descriptor).all():  # it would stay in the belief for good
            raise ImageError("the descriptor of the image is not finite")
        top_k = self.options.top_k
        query = self.place_map.reduced(descriptor[None])
        similarities, places = self._search(query, max(_CANDIDATES, top_k))
        scores = self._scores(query[0], similarities, places)
        best = self._best_views(query[0], similarities, places)
        matches: Sequence[Match] = self.place_map.matches(places[best][:top_k], similarities[best][:top_k])
        if (seen := self._see(observation, matches, has_time)) is not None:
            matches, weights = seen.matches, seen.weights  # what geometry has seen counts for the drive, too
            scores = scores + np.array([weights.get(int(place), 0.0) for place in places])
        metric = seen.verified if seen and seen.verified and seen.verified.is_metric else None
        measured = (int(self._spots.of[metric.place]), metric.nats) if metric and metric.nats else None
        sigma = self.options.sequence.odometry_sigma
        pose = self._carried.next(metric, odometry, observation.stamp, sigma)
        novelty = self._novelty(descriptor)
        ranked = np.argsort(-scores, kind="stable")
        ranked = ranked[self._spots.best_views(places[ranked])]
        belief = self._sequence.update(
            self._spots.of[places[ranked]], scores[ranked], (0.0, 1.0), observation.stamp, odometry, novelty,
            measured,
        )  # fmt: skip
        similarities, places = similarities[best], places[best]
        spots = self._spots.of[places]
        prior, reason = None, belief.reason
        if belief.state is State.LOCALIZED:
            away = self._sequence.motion.distances_to(belief.place, spots)
            around = np.flatnonzero(away <= self.options.agreement_radius)[:top_k]
            nearby = self.place_map.matches(places[around], similarities[around])
            prior, reason = self._believed_prior(belief, nearby, observation, pose)
        seen_now = places[spots == belief.place]  # the view of the spot that the image resembles most
        belief = replace(belief, place=int([*seen_now, self._spots.first[belief.place]][0]))
        # The drive believes inliers less, since those of images that follow each other err together.
        by_inliers = seen.nats_for(self.place_map.pose(belief.place)) if seen else 0.0
        state = belief.state if prior or belief.state is State.LOST else State.AMBIGUOUS
        return Localization(
            observation.stamp, state, matches, prior, descriptor, belief.confidence + by_inliers, belief,
            reason,
        )  # fmt: skip

    def forget(self) -> None:
        """Drop what `track` has learned: the robot was carried, or another drive begins."""
        self._sequence.forget()
        self._carried.forget()
        self._anchored.forget()
        self._last_descriptor = None

    def expect(self, last: LastPlace, stamp: int) -> None:
        """Begin a drive near the place where another one ended; the longer ago, the less that counts.

        Parameters
        ----------
        stamp : of the first image, nanoseconds.

        Raises
        ------
        MapError
            If the place is of another map, or of a time after the image; then the drive begins anywhere.
        """
        self.forget()
        if last.map_id != self.place_map.header.map_id or not 0 <= last.place < len(self.place_map):
            raise MapError(f"the last place is of the map {last.map_id}, which is not open")
        if stamp < last.stamp:
            seconds = (last.stamp - stamp) / 1e9
            raise MapError(f"the last place is of {seconds:.0f} s after the first image: clocks differ")
        spot = int(self._spots.of[last.place])
        self._sequence.expect(spot, last.is_reversed, (stamp - last.stamp) / 1e9)

    def place_probabilities(self) -> np.ndarray:
        """What `track` believes along the map, (N,): see `SequenceFilter.probabilities`.

        Of several views of one spot the first has the probability of all.
        """
        probabilities = np.zeros(len(self.place_map))
        probabilities[self._spots.first] = self._sequence.probabilities()
        return probabilities

    def common_points(self, observation: Observation, place: int) -> np.ndarray:
        """What verification sees in both images, (M, 4): see `Verifier.common_points`; empty without it."""
        if self._verifier is None or observation.features is None:
            return np.empty((0, 4))
        return self._verifier.common_points(observation.features, place)

    def _search(self, query: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Similarities and rows of the places most similar to a query (1, P), best first.

        There are as many for each drive of the map, so that some are left when each spot gives one.
        """
        most = min(count * len(self.place_map.drives), 2 * _CANDIDATES)
        similarities, places = self.index.search(query, most)
        return similarities[0], places[0]

    def _scores(self, query: np.ndarray, similarities: np.ndarray, places: np.ndarray) -> np.ndarray:
        """How much more places look like a query (P,) than is usual, (K,), all views of a spot together."""
        scores = self._standard.of(query, similarities, places)
        if len(self.place_map.drives) == 1:
            return scores
        usual = self._standard.means(query)
        return self._appearances.scores(query, places, similarities, usual, scores)

    def _best_views(self, query: np.ndarray, similarities: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Of places similar to a query (P,) the indices of the best view of each spot, best first."""
        if len(self.place_map.drives) == 1:  # each place is a spot
            return np.arange(len(places))
        return self._appearances.ranked(places, similarities, self._standard.means(query))

    def _see(self, observation: Observation, matches: Sequence[Match], has_time: HasTime) -> Seen | None:
        """What geometry says of the image, if it is asked."""
        if self.verification is None or self._verifier is None or observation.features is None:
            return None
        return self._verifier.see(observation, matches, self.options.agreement_radius, has_time)

    def _scored_prior(self, matches: Sequence[Match], seen: Seen | None) -> tuple[PosePrior | None, str]:
        """Pose prior of the matches if the best score is high enough, or the reason why there is none."""
        measured = seen.verified if seen and seen.verified and seen.verified.is_metric else None
        least = self.min_similarity if seen else self._least_similarity
        # Inliers that agree on no pose say nothing: look-alike streets of other towns have as many.
        score = matches[0].similarity if seen and seen.lacks_pose else matches[0].score
        is_similar = score >= least
        if measured is None and not is_similar:
            return None, NOT_SIMILAR
        prior = self._estimate(matches)
        if prior is None:
            return None, NO_POSES
        if measured is not None and agrees(prior, measured):
            return _refined(prior, measured), ""
        if not is_similar:
            return None, CONTRADICTION
        return (prior, "") if prior.agreement >= self.options.min_agreement else (None, DISAGREEMENT)

    def _seen_prior(self, seen: Seen) -> tuple[PosePrior | None, str]:
        """Pose prior of the places that geometry confirms, or the reason why there is none."""
        verified = seen.verified
        if verified is None:
            return None, NOT_CONFIRMED if self.place_map.has_poses else NO_POSES
        if not verified.is_near:
            return None, FAR_AWAY
        prior = self._estimate(seen.confirmed)
        if prior is None or (verified.is_metric and not agrees(prior, verified)):
            return None, CONTRADICTION if prior else NO_POSES
        return _refined(prior, verified if verified.is_metric else None), ""

    def _believed_prior(
        self, belief: Belief, matches: Sequence[Match], observation: Observation, carried: PoseEstimate | None
    ) -> tuple[PosePrior | None, str]:
        """Pose prior of the matches around the place believed in, or the reason why there is none.

        Odometry holds the poses of images that follow each other together. A measured pose that it has
        carried on is taken if it is sharper. Either is forgotten if it contradicts the matches and is further
        from the place than they are.
        """
        prior = self._estimate(matches)
        if prior is None:
            return None, NOTHING_AROUND if np.isfinite(self.place_map.poses).any() else NO_POSES
        place = self.place_map.poses[self._spots.first[belief.place], :3]
        if (odometry := observation.odometry) is not None:
            if belief.is_reversed:
                prior = replace(prior, pose=prior.pose @ _TURNED_ROUND)
            anchored = self._anchored.next(prior, odometry, observation.stamp)
            if _is_better(anchored, prior, place):
                prior = anchored
            else:
                self._anchored.forget()
        else:
            self._anchored.forget()
        if carried is None or belief.is_reversed:
            return prior, ""
        if _is_better(carried, prior, place):
            return _refined(prior, carried), ""
        self._carried.forget()
        return prior, ""

    def _estimate(self, matches: Sequence[Match]) -> PosePrior | None:
        return estimate_pose(matches, self.place_map.header.spacing, self.options.agreement_radius)

    def _novelty(self, descriptor: np.ndarray) -> float:
        """Difference from the last image that differed; 1 is that of neighbouring places."""
        last = self._last_descriptor
        novelty = 1.0 if last is None else self._usual.difference(last, descriptor)
        if novelty >= SAME_SPOT:
            self._last_descriptor = descriptor
        return novelty


def _is_better(carried: PoseEstimate, prior: PosePrior, place: np.ndarray) -> bool:
    """Whether what odometry carries agrees with the matches, or is nearer to the place (3,) believed in.

    The matches of dark images lie at random.
    """
    away, prior_away = (np.linalg.norm(each.pose.position - place) for each in (carried, prior))
    return agrees(prior, carried) or bool(away < prior_away)


def _refined(prior: PosePrior, measured: PoseEstimate | None) -> PosePrior:
    """The prior, replaced by the pose that geometry has measured if that is sharper."""
    if measured is None:
        return prior
    is_sharper = np.trace(measured.covariance[:2, :2]) < np.trace(prior.covariance[:2, :2])
    return replace(prior, pose=measured.pose, covariance=measured.covariance) if is_sharper else prior


def localize_frames(
    localizer: Localizer, frames: Iterable[Frame], left_out: Counter[str]
) -> Iterator[tuple[Frame, Localization]]:
    """Localize a recorded drive image by image; broken images are counted in `left_out`.

    With the option `sequence_filter` the images are judged as a drive, and the changes of the frames' poses
    serve as odometry.
    """
    judge = localizer.track if localizer.options.sequence_filter else localizer.locate
    for frame, observation in observe_frames(localizer.observe, frames, left_out):
        yield frame, judge(observation)
