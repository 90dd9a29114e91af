"""The localizer: images in, the places they may show and a pose out.

`locate` judges one image by itself; `track` follows a drive, and is the one to act on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from netvlad_core.data.camera import Camera
from netvlad_core.data.geometry import Pose
from netvlad_core.data.radii import POSITIVE_WITHIN
from netvlad_core.errors import CheckpointError, ImageError, MapError
from netvlad_core.localization.geometry.sighting import Sighting, margin, sight
from netvlad_core.localization.geometry.verification import Query, VerificationOptions, Verifier, verifier_of
from netvlad_core.localization.pose_prior import PosePrior, agrees, estimate_pose
from netvlad_core.localization.retrieval import Match, matches_of, retrieve
from netvlad_core.localization.tracking.sequence_filter import (
    SAME_SPOT,
    Belief,
    SequenceFilter,
    SequenceOptions,
    State,
)
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.model.extractor import Extractor
from netvlad_core.search import open_index
from netvlad_core.settings import group, setting

# Candidates that the filter weighs; GPU indexes give no more than twice as many.
_CANDIDATES = 1000
# What geometry counts for where it could have measured the pose and has not: rows of equal houses agree, too.
_UNMEASURED = 0.5
# Places from which the usual similarity of an image, and of neighbouring places, is taken.
_SAMPLED = 500
_TURNED_ROUND = Pose.from_xyz_yaw(0.0, 0.0, yaw=np.pi)


@dataclass(frozen=True)
class LocalizerOptions:
    """Thresholds that turn matches into a state; a file of settings has them by these names.

    `min_similarity` and `min_agreement` apply to `locate` only, `sequence` to `track` only.
    """

    top_k: int = setting(10, "Matches reported for each image.", 1, 1000)
    min_similarity: float | None = setting(
        None,
        "For a single image: best similarity below which the state is LOST; -1.0 takes the map's threshold.",
        -1.0,
        1.0,
        none=-1.0,
    )
    min_agreement: float = setting(
        0.5,
        "For a single image: share of the matches' weight that must support one pose, else AMBIGUOUS.",
        0.0,
        1.0,
    )
    agreement_radius: float = setting(
        POSITIVE_WITHIN, "Metres within which two matches support the same pose.", 0.0, 1000.0
    )
    sequence_filter: bool = setting(
        True, "Judge images as a drive, with odometry; false judges each one by itself."
    )
    sequence: SequenceOptions = group("sequence", SequenceOptions())
    verification: VerificationOptions | None = group(
        "geometry",
        VerificationOptions(),
        setting(
            False,
            "Compare local features with the images in the map; a calibrated camera gives metric poses.",
            name="verification",
        ),
    )


@dataclass(frozen=True)
class Localization:
    """Answer to one image.

    Attributes
    ----------
    stamp : of the image, nanoseconds.
    state : LOST, AMBIGUOUS or LOCALIZED.
    matches : best first.
    prior : pose and covariance, only when LOCALIZED.
    descriptor : (D,) float32 of the image.
    confidence : to rank the images of a drive by, the higher the surer: of the belief, or of an image that
        was judged by itself its best similarity; verified, the lead of its best score over those elsewhere.
    belief : of the sequence filter, None where the image was judged by itself.
    """

    stamp: int
    state: State
    matches: Sequence[Match]
    prior: PosePrior | None
    descriptor: np.ndarray
    confidence: float
    belief: Belief | None = None


@dataclass(frozen=True)
class _Seen:
    """Matches as geometry orders them, what it says of the image, and how much that counts, in [0, 1]."""

    matches: list[Match]
    sighting: Sighting | None
    weight: float


class Localizer:
    """Finds images in one map.

    Parameters
    ----------
    place_map : the map.
    extractor : must carry the map's own model.

    Raises
    ------
    MapError
        If map and model do not belong together, or the map is empty.
    """

    def __init__(
        self, place_map: PlaceMap, extractor: Extractor, options: LocalizerOptions | None = None
    ) -> None:
        place_map.check_model(extractor.model_id)
        if not len(place_map):
            raise MapError(f"the map {place_map.path} has no places")
        self.place_map = place_map
        self.extractor = extractor
        self.options = options or LocalizerOptions()
        self.index = open_index(place_map.descriptors)
        self._sequence = SequenceFilter(place_map.poses, place_map.stamps, self.options.sequence)
        self._last_descriptor: np.ndarray | None = None
        self._verifier: Verifier | None = None
        self._current_verifier()  # says at once where the map has no images
        rows = np.unique(np.linspace(0, len(place_map) - 1, _SAMPLED).astype(int))
        self._sample = np.array(place_map.descriptors[rows])
        after = place_map.descriptors[np.minimum(rows + 1, len(place_map) - 1)]
        neighbours = np.einsum("nd,nd->n", self._sample, after)[:-1]
        self._neighbour_difference = max(1e-3, 1 - float(np.median(neighbours))) if len(neighbours) else 1.0

    @classmethod
    def open(
        cls,
        map_path: Path | str,
        weights: Path | str | None = None,
        device: str = "auto",
        options: LocalizerOptions | None = None,
        precision: str = "auto",
    ) -> Localizer:
        """Open a map, every checksum compared, together with its network.

        Parameters
        ----------
        weights : checkpoint or ONNX file; None takes the network in the map, or from where the map says it
            was found.
        precision : as in `Extractor.load`.
        """
        place_map = PlaceMap.open(map_path, verify=True)
        path = Path(weights) if weights else place_map.network_path
        if not path.is_file():
            raise CheckpointError(
                f"the model {place_map.header.model_id} of the map {map_path} is not at {path}; "
                "name its checkpoint"
            )
        return cls(place_map, Extractor.load(path, device, precision=precision), options)

    @property
    def min_similarity(self) -> float:
        """The threshold in force: the option, or the map's own."""
        chosen = self.options.min_similarity
        return self.place_map.header.similarity_threshold if chosen is None else chosen

    def __call__(self, image: np.ndarray, stamp: int = 0) -> Localization:
        """Localize one image, uint8 RGB (H, W, 3); raises ImageError for anything else."""
        return self.locate(self.extractor(image)[0], stamp, self.prepare(image))

    def prepare(self, image: np.ndarray, camera: Camera | None = None) -> Query | None:
        """What verification needs of an image (H, W, 3) uint8 RGB; None where it is not asked for.

        Parameters
        ----------
        camera : that took it; None for the camera of the map.

        Raises
        ------
        MapError
            If the map has no images to compare with.
        """
        verifier = self._current_verifier()
        return None if verifier is None else verifier.query(image, camera)

    def _current_verifier(self) -> Verifier | None:
        options = self.options.verification
        if options is None:
            self._verifier = None
        elif self._verifier is None or self._verifier.options != options:
            self._verifier = verifier_of(self.place_map, options)
        return self._verifier

    def locate(self, descriptor: np.ndarray, stamp: int = 0, query: Query | None = None) -> Localization:
        """Localize by a descriptor (D,) float32 that this map's model has computed.

        With a prepared query geometry decides: a place that it confirms, and none elsewhere as well, is
        LOCALIZED; other similar ones are AMBIGUOUS.
        """
        matches = retrieve(self.place_map, self.index, descriptor, self.options.top_k)
        confidence, prior = matches[0].similarity, None
        is_similar = confidence >= self.min_similarity
        if query is not None and self._verifier is not None:
            seen = self._see(self._verifier, query, matches)
            matches, prior = seen.matches, self._seen_prior(self._verifier, seen)
            confidence = seen.weight * margin(matches, self.options.agreement_radius)
        elif is_similar:
            prior = estimate_pose(matches, self.place_map.header.spacing, self.options.agreement_radius)
            if prior is not None and prior.agreement < self.options.min_agreement:
                prior = None
        unsure = State.AMBIGUOUS if is_similar else State.LOST
        state = State.LOCALIZED if prior else unsure
        return Localization(stamp, state, matches, prior, descriptor, confidence)

    def track(
        self, image: np.ndarray, stamp: int, odometry: Pose | None = None, query: Query | None = None
    ) -> Localization:
        """Localize the next image of a drive, by what the images before it have shown as well.

        Parameters
        ----------
        image : uint8 RGB (H, W, 3), or its descriptor (D,) float32.
        stamp : nanoseconds; one before the last starts anew.
        odometry : odom <- base_link at the stamp, where there is odometry.
        query : the image as `prepare` returns it, where only the descriptor is given.

        Raises
        ------
        ImageError
            If it is neither, or the descriptor is not finite.
        """
        descriptor = image
        if image.ndim != 1:
            descriptor, query = self.extractor(image)[0], self.prepare(image)
        if not np.isfinite(descriptor).all():  # it would stay in the belief for good
            raise ImageError("the descriptor of the image is not finite")
        self._sequence.options = self.options.sequence
        count = max(_CANDIDATES, self.options.top_k)
        similarities, places = (rows[0] for rows in self.index.search(descriptor[None], count))
        usual = self._sample @ descriptor
        typical = (float(usual.mean()), float(usual.std()))
        matches: Sequence[Match] = matches_of(self.place_map, places[: self.options.top_k], similarities)
        evidence, seen = similarities, None
        if query is not None and (verifier := self._verifier) is not None:
            seen = self._see(verifier, query, matches)
            matches = seen.matches
            # What geometry has seen counts for the drive, too.
            weights = {match.place: seen.weight * verifier.weight(match) for match in matches}
            evidence = similarities + typical[1] * np.array([weights.get(int(p), 0.0) for p in places])
        belief = self._sequence.update(places, evidence, typical, stamp, odometry, self._novelty(descriptor))
        prior = None
        if belief.state is State.LOCALIZED:
            prior = self._prior(belief, places, similarities, odometry is not None)
            if prior is not None and seen is not None and not belief.is_reversed:
                prior = _refined(prior, seen.sighting)
        state = belief.state if prior or belief.state is State.LOST else State.AMBIGUOUS
        return Localization(stamp, state, matches, prior, descriptor, belief.confidence, belief)

    def _see(self, verifier: Verifier, query: Query, matches: Sequence[Match]) -> _Seen:
        """Hold the image against its matches."""
        ranked = verifier.rank(query, matches)
        sighting = sight(verifier, query, ranked, self.options.agreement_radius)
        is_measured = sighting is not None and sighting.is_metric and sighting.is_near
        is_sure = is_measured or not verifier.is_measurable(query, ranked[0].place)
        return _Seen(ranked, sighting, 1.0 if is_sure else _UNMEASURED)

    def _seen_prior(self, verifier: Verifier, seen: _Seen) -> PosePrior | None:
        """Pose prior of the places that geometry confirms; None without any, afar, and against its pose."""
        if seen.sighting is None or not seen.sighting.is_near:
            return None
        confirmed = [match for match in seen.matches if verifier.confirms(match)]
        radius = self.options.agreement_radius
        prior = estimate_pose(confirmed, self.place_map.header.spacing, radius)
        if prior is None or (seen.sighting.is_metric and not agrees(prior, seen.sighting)):
            return None
        return _refined(prior, seen.sighting)

    def forget(self) -> None:
        """Drop what `track` has learned: the robot was carried, or another drive begins."""
        self._sequence.forget()
        self._last_descriptor = None

    def _novelty(self, descriptor: np.ndarray) -> float:
        """Difference from the last image that differed, in that of neighbouring places."""
        last = self._last_descriptor
        novelty = 1.0 if last is None else (1 - float(last @ descriptor)) / self._neighbour_difference
        if novelty >= SAME_SPOT:
            self._last_descriptor = descriptor
        return novelty

    def _prior(
        self, belief: Belief, places: np.ndarray, similarities: np.ndarray, has_odometry: bool
    ) -> PosePrior | None:
        """Pose prior of the matches around the place believed in."""
        distances = self._sequence.motion.distances_to(belief.place, places)
        around = np.flatnonzero(distances <= self.options.agreement_radius)[: self.options.top_k]
        matches = matches_of(self.place_map, places[around], similarities[around])
        prior = estimate_pose(matches, self.place_map.header.spacing, self.options.agreement_radius)
        if prior is not None and belief.is_reversed and has_odometry:
            return replace(prior, pose=prior.pose @ _TURNED_ROUND)
        return prior


def _refined(prior: PosePrior, sighting: Sighting | None) -> PosePrior:
    """The prior, replaced by the pose that geometry has measured, where the two agree."""
    if sighting is None or not sighting.is_metric or not agrees(prior, sighting):
        return prior
    return replace(prior, pose=sighting.pose, covariance=sighting.covariance)
