"""What places score on a drive wherever it goes, which says nothing about where the robot is.

A blank wall or a dark corner resembles every image of an evening, so what a place has scored so far is
subtracted: its mean over n images, times n / (n + h), since a mean of few images is mostly about them.

How few are few? Clear images of one street have much in common, those of the next street do not, and little
stays: h is large, or the true place would be subtracted, too. As 64x32 grey pixels most of each score is that
of every other image, and known after a few: h is small. The drive tells the two apart. Of images that follow
each other, a share s of the variance among places stays and the rest is forgotten after some A spacings, so
the variance of their mean is s + (1 - s) A / (n + A). With that s the best h is A (1 - s) / s (James and
Stein, 1961), and never more than `habit`.
"""

from __future__ import annotations

import numpy as np

# Spacings of the map after which an image is half forgotten, A. 14 and 20 tried: with 20 grey pixels have
# their first pose up to 13 images later.
_ALIKE = 14.0
# Images after which half of s is believed: at first all images are alike. 0 to 8 tried: below 4 clear images
# have their first pose up to 5 images later, above grey pixels do.
_FEW = 4.0
# Images after which what places usually score is half forgotten.
_MEMORY = 1000.0
# Least deviation that is left in scores without what is usual: bound of what one image says.
_LEAST_DEVIATION = 0.2


class UsualScores:
    """Mean scores of the places of a map on a drive.

    Parameters
    ----------
    count : number of places.

    Attributes
    ----------
    seen : images taken into account, by the way driven: see `SequenceFilter`.
    """

    def __init__(self, count: int) -> None:
        self.seen = 0.0
        self._sums = np.zeros(count)
        self._moments = np.zeros(3)  # of those sums, of their squares, and of the variances of the images

    def habit(self, most: float) -> float:
        """Images after which half of what places usually score is subtracted, h."""
        if not self.seen:
            return most
        mean, square, variance = self._moments / len(self._sums) / self.seen
        by_chance = _ALIKE / (self.seen + _ALIKE)
        stays = ((square / self.seen - mean**2) / max(variance, 1e-12) - by_chance) / (1 - by_chance)
        stays = np.clip(stays * self.seen / (self.seen + _FEW), 1e-6, 1.0)
        return float(min(most, _ALIKE * (1 - stays) / stays))

    def deviation_left(self, habit: float) -> float:
        """Of the scores of an image, which is 1, what is left once the usual ones are subtracted.

        They are a share a of what places always score, c: 1 - (2a - a^2) var(c) is left of the variance.
        """
        if not self.seen:
            return 1.0
        mean, square = self._moments[:2] / len(self._sums)
        usual = (square - mean**2) / (self.seen + habit) ** 2
        share = self.seen / (self.seen + habit)
        return float(np.sqrt(max(1 - usual * (2 / share - 1), _LEAST_DEVIATION**2)))

    def left(self, places: np.ndarray, scores: np.ndarray, habit: float) -> np.ndarray:
        """Scores of an image (C,) beyond the usual ones of its places (C,)."""
        return scores - self._sums[places] / (self.seen + habit)

    def beyond(self, places: np.ndarray, scores: np.ndarray, news: float, habit: float) -> np.ndarray:
        """The same; from now on the image is among those that tell what is usual."""
        count, before = len(self._sums), self._sums[places]
        beyond = self.left(places, scores, habit)
        self._sums[places] = after = before + news * scores
        variance = scores @ scores - scores.sum() ** 2 / count
        self._moments += after.sum() - before.sum(), after @ after - before @ before, news * variance
        self.seen += news
        if self.seen > _MEMORY:
            self.seen /= 2
            self._sums /= 2
            self._moments /= 2, 4, 2
        return beyond
