"""The answer to one image, and why there may be no pose in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from netvlad_core.localization.pose_prior import PosePrior
from netvlad_core.localization.tracking.sequence_filter import Belief, State
from netvlad_core.mapping.places import Match

# Why there is no pose.
NOT_SIMILAR = "no place is similar enough to the image (min_similarity)"
DISAGREEMENT = "the matches disagree on where the image was taken (min_agreement)"
NO_POSES = "the map has no poses"
NOT_CONFIRMED = "geometry confirms no place, or more than one (min_inliers)"
FAR_AWAY = "the camera sees the place from too far away"
CONTRADICTION = "the pose that geometry measures contradicts those of the matches"
NOTHING_AROUND = "the image resembles no place near the one that the drive leads to"


@dataclass(frozen=True)
class Localization:
    """Answer to one image.

    Attributes
    ----------
    stamp : time of the image, nanoseconds.
    state : LOST, AMBIGUOUS or LOCALIZED.
    matches : best first.
    prior : pose and covariance, only when LOCALIZED.
    reason : one sentence why there is no pose, empty if there is one.
    descriptor : (D,) float32 of the image.
    confidence : ranking score, higher is surer. On a drive it is the belief's, with verification plus what
        the inliers say for the place; for a single image it is the best similarity, or with verification
        that of `geometry.seen.Seen`.
    belief : result of the sequence filter, None for a single image.

    Examples
    --------
    >>> from netvlad_core import Localizer, open_source
    >>> localizer = Localizer.open("maps/campus", device="cpu")
    >>> answer = localizer(next(iter(open_source("evening/catalogue.csv"))).decode())
    >>> answer.place in (0, 1), len(answer.matches), answer.descriptor.shape
    (True, 10, (896,))
    >>> answer.reason == "" if answer.prior else answer.reason != ""
    True
    """

    stamp: int
    state: State
    matches: Sequence[Match]
    prior: PosePrior | None
    descriptor: np.ndarray
    confidence: float
    belief: Belief | None = None
    reason: str = ""

    @property
    def place(self) -> int:
        """Place that state, pose and picture refer to: the believed one on a drive, else the best match."""
        return self.matches[0].place if self.belief is None else self.belief.place

    @property
    def probability(self) -> float:
        """Probability in [0, 1] that the image shows that place or its surroundings.

        A single image has none; in its place stands the share of the matches' weight that supports the pose,
        0 without a pose.
        """
        if self.belief is not None:
            return self.belief.probability
        return 0.0 if self.prior is None else self.prior.agreement
