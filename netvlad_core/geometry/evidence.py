"""How much the inliers of a comparison say for "the same place", learned from the map.

A count of inliers means nothing by itself. Any two images of one corridor, 160 x 120 pixels each, have 60;
two streets of a town have 20; two views of one street, one of them by night, have 30. But a map knows what is
usual in it: it holds strangers, pairs of similar places far from each other. They are compared when the map
is built, and teach three things.

*The score.* Let n be the inliers of a match and c what chance gives, the lowest decile of the strangers'
inliers. A match of similarity s has the score

    s * sqrt(max(1, n / c)).

Counts are uncertain by their root, so that a difference of roots means the same among few inliers as among
many. Up to c the inliers say nothing, and the score is the similarity. It is never less: night, blur and rain
take inliers from true pairs, too, so nothing is said against a place.

*The threshold.* The best stranger of a place is what an image of a place that was never mapped finds. A
single image is localized from the score that nine of ten such strangers stay below.

*The likelihood ratio.* Let x = log n, q the upper quartile of x among the strangers and d its standard
deviation. Beyond q their tail is taken as exponential: P(X >= x | strangers) = exp(-(x - q) / d) / 4. A true
pair may have any x above that, as light, view and weather decide. With this flat alternative the log of the
likelihood ratio is

    l = max(0, (x - q) / d)    nats.

It says whether geometry confirms a place. The other likelihood, that of the map's own neighbours, is of no
use: they are in one light, and by the boundary between them and the strangers every pair by night is a pair
of strangers. Spread of the inliers over the image and change of scale, combined with their number by logistic
regression, gave no more. Measured by `python -m benchmarks.geometry`, docs/localization_results.md.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

_FEWEST_INLIERS = 6  # for the logarithm: fewer are no geometry
# Quantiles of the strangers' inliers and best scores; others are in the tables of benchmarks/geometry.py.
_CHANCE, _USUAL, _THRESHOLD = 0.1, 0.75, 0.9
_FEWEST_PAIRS = 30
_LEAST_SCALE = 0.1  # of a map whose strangers are all alike, e.g. without any inliers
_LEAST_THRESHOLD = 1e-3  # a similarity of nothing
_LARGEST = 1e6


@dataclass(frozen=True)
class Likelihood:
    """What the strangers of a map have taught.

    Attributes
    ----------
    chance : c, inliers that one of ten strangers stays below.
    usual : q, logarithm of the inliers that three of four stay below.
    scale : d, standard deviation of that logarithm.
    threshold : score that a place's best stranger stays below in nine of ten cases.
    """

    chance: float
    usual: float
    scale: float
    threshold: float

    def support(self, inliers: int) -> float:
        """Factor by which inliers raise the score of a match, at least 1."""
        return float(np.sqrt(max(1.0, inliers / self.chance)))

    def log_ratio(self, inliers: int) -> float:
        """Log of the likelihood ratio of a match in nats, never negative."""
        return max(0.0, (float(np.log(max(_FEWEST_INLIERS, inliers))) - self.usual) / self.scale)

    @classmethod
    def learned(cls, inliers: np.ndarray, similarities: np.ndarray) -> Likelihood | None:
        """Learn from pairs of strangers; None if they are too few to say.

        Parameters
        ----------
        inliers : (S, K) of K strangers for each of S places; what is missing has the similarity -inf.
        similarities : (S, K).
        """
        is_pair = np.isfinite(similarities)
        if is_pair.sum() < _FEWEST_PAIRS:
            return None
        x = np.log(np.maximum(_FEWEST_INLIERS, inliers[is_pair]))
        chance, usual = float(np.exp(np.quantile(x, _CHANCE))), float(np.quantile(x, _USUAL))
        best = (similarities * np.sqrt(np.maximum(1, inliers / chance))).max(axis=1)
        threshold = float(np.quantile(best[np.isfinite(best)], _THRESHOLD))
        return cls(chance, usual, max(_LEAST_SCALE, float(x.std())), max(_LEAST_THRESHOLD, threshold))

    def to_json(self) -> dict[str, float]:
        """What `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, float]) -> Likelihood:
        """Of what `is_likelihood` accepts."""
        return cls(**values)


def is_likelihood(values: Any) -> bool:
    """Whether `Likelihood.from_json` takes this, and every number is one that a map can have taught."""
    return (
        isinstance(values, dict)
        and values.keys() == {"chance", "usual", "scale", "threshold"}
        and all(type(value) in (int, float) and 0 < value <= _LARGEST for value in values.values())
    )
