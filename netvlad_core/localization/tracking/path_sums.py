"""How much better does one path of the map explain the whole drive than every other path?

A single image in extreme light hardly tells places apart, but what little it says in favour of the true place
adds up along the drive, while what it says in favour of others cancels out. Every path through the map that
odometry allows has the sum of its images' scores less a drift, never below 0 (a local alignment of the drive
and the map as of two sequences: Smith and Waterman, 1981). What advances the sums is the way driven, in
spacings of the map: a standing robot adds nothing. Whether the best path is the truth is asked in two ways.

Is it too good for chance? The best sum that chance reaches in a map of N places grows as ln(N) / lambda, and
the probability of a sum S falls as N exp(-lambda S) (Karlin and Altschul, 1990). Lambda depends on light,
network and how alike neighbouring images are, so the drive itself tells it: the best sum that a path
elsewhere in the map has reached so far, R, is what chance does. The evidence is then, in nats,

    -ln P = ln(N) (S / R - 1).

A path that has left the best one has most of its sum from the truth, not from chance, so only paths that have
begun apart from it count for R.

Is it good enough for the truth? Streets that run like mapped ones gain from every image, too, only less. How
much a true place gains depends on light: s, the deviation that is left in an image's scores once what places
usually score is taken out, is near 1 for images as clear as those of the map and a third of that for grey
pixels, of which all are alike. So an image matches a place by its score / s^(3/2), and a path by the mean of
its images, those of small s counting more. That mean is 3.5 to 6 on the map at any hour, in colour and in
grey, and 2.5 to 3.5 in streets that look like it; by chance it grows as ln(N), too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netvlad_core.localization.tracking.place_motion import Motion, PlaceMotion, wrapped

# Standard deviations of an image's score that a path loses in every image: chance must lose on average.
# 0.4 to 1.2 tried: the higher, the more evidence on strong drives, but weak ones are lost.
_DRIFT = 0.4
# Spacings of the map after which a sum is forgotten to 1/e. 60 and 100 tried: the longer, the more evidence.
_MEMORY = 100.0
# The same for the best sum that chance has reached. 200 and 400 tried: the longer, the less evidence other
# towns give, at the same evidence on the map.
_RIVAL_MEMORY = 1000.0
# The same for the latest images, which must agree with the path.
_RECENT = 10.0
# Least share of a path's mean score that its latest images must have. While the best path has less, the robot
# has probably left it, and each image takes a share of all sums away.
_STILL_AGREES = 0.5
_LAPSE = 0.1
# The best sum elsewhere in a map of few places may be small by chance. By design.
_LEAST_RIVAL = 20.0
# An image matches a place by its score by this power of the deviation left in scores. 1 to 2 tried: at 1 grey
# pixels match no better than look-alike streets in colour, at 2 those in grey match better than truth by day.
_CLEARNESS = 1.5
# The deviation left may grow by this factor. 1 to 1.2 tried: with 1 dark images have fewer poses, with 1.1
# short drives through an estate on the streets of the map have some.
_STEADY = 1.05
# Bounds of the match of an image, so that a few do not decide.
_MATCHES = (-2.0, 8.0)
# The mean match of this many spacings counts half. 5 to 20 tried: with 5 chance reaches high means, with 20
# sparse maps wait.
_HALF = 10.0
# Added to the number of places: among few of them chance is told from truth by few images.
_FEW = 10
# A path of more than so many spacings is poor if its mean match is less than this share of sqrt(2 ln N), what
# the best of N places reaches in one image. 15 to 55 and 0.9 to 1.3 tried: shorter or more and corridors lose
# poses, 1.1 leaves half of those in an estate on the streets of the map.
_LONG = 55.0
_POOR = 1.2
# Paths kept. Bound of time.
_PATHS = 500
# Standard deviations of a step along the map, in spacings and radians; half as much counts across, since
# lanes differ. Paths of more than three of them are not tried.
_STEP_SIGMA = 0.5
_TURN_SIGMA = 0.8
_ACROSS = 0.25
_WORST = 9.0
# Share of a path's distance and turn from the place it is at that counts in the next step, since odometry
# drifts, and the most of the distance, in spacings. Without a bound paths through other towns reach twice the
# evidence.
_KEPT_OFFSET = 0.9
_MOST_OFFSET = 0.75

_SUM, _WEIGHT, _MATCH, _INFORMATION, _LATEST, _OFFSET, _TURN, _ORIGIN = range(8)


@dataclass(frozen=True)
class Path:
    """The best path so far.

    Attributes
    ----------
    place : where it ends.
    is_reversed : whether the robot faces against the heading of that place.
    lead : its sum less the best sum elsewhere, of paths that have left it, too; standard deviations of an
        image's score.
    match : mean match of its images.
    evidence : -ln of the probability that chance makes such a path, nats; 0 without one.
    match : mean match of its images as a share of ln(N), less for a short path.
    is_poor : whether it is long and matches no better than streets that look alike.
    agrees : whether the latest images support it as those before them did.
    """

    place: int = 0
    is_reversed: bool = False
    lead: float = 0.0
    evidence: float = 0.0
    match: float = 0.0
    is_poor: bool = False
    agrees: bool = False


class PathSums:
    """Sums of scores along the paths that the movements of the robot allow.

    Parameters
    ----------
    motion : the places as a graph.

    Attributes
    ----------
    best : the path of the largest sum after the latest image.
    """

    def __init__(self, motion: PlaceMotion) -> None:
        self._motion = motion
        self.forget()

    def forget(self) -> None:
        """Start anew: the robot may be anywhere."""
        # For each heading of the robot, along and against that of the places: where paths end, and what
        # they have collected, (A,) and (A, 8); each path that begins has a number of its own as origin.
        self._ends = [np.empty(0, np.int64), np.empty(0, np.int64)]
        self._paths = [np.empty((0, 8)), np.empty((0, 8))]
        self._origins = 0
        self._rival = 0.0
        self.best = Path()

    def move(self, motion: Motion) -> None:
        """Move every path along; the better one goes on where two of them meet."""
        places = self._motion
        if motion.length > places.farthest:
            self.forget()
            return
        steps = places.steps(motion)
        moved = []
        for heading, (ends, paths) in enumerate(zip(self._ends, self._paths)):
            displacement, turn = places.step(motion, steps, bool(heading))
            for _ in range(steps):
                ends, paths = self._step(ends, paths, displacement, turn)
            moved.append((ends, paths))
        self._ends, self._paths = [ends for ends, _ in moved], [paths for _, paths in moved]

    def _step(
        self, ends: np.ndarray, paths: np.ndarray, displacement: np.ndarray, turn: float
    ) -> tuple[np.ndarray, np.ndarray]:
        places = self._motion
        along, across, above = places.displacements[:, ends] - displacement[:, None, None]
        along = along - paths[:, _OFFSET, None]
        errors = along**2 + _ACROSS * across**2 + above**2
        errors /= (_STEP_SIGMA * places.spacing) ** 2
        turned = wrapped(places.turns[ends] - turn - paths[:, _TURN, None])
        errors += (turned / _TURN_SIGMA) ** 2
        rows, columns = np.nonzero(errors < np.minimum(_WORST, 2 * paths[:, _SUM, None]))
        arrivals, moved = places.neighbours[ends[rows], columns], paths[rows]
        moved[:, _SUM] -= 0.5 * errors[rows, columns]
        moved[:, _TURN] = -_KEPT_OFFSET * turned[rows, columns]
        most = _MOST_OFFSET * places.spacing
        moved[:, _OFFSET] = -_KEPT_OFFSET * np.clip(along[rows, columns], -most, most)
        best = np.argsort(-moved[:, _SUM], kind="stable")
        arrived, first = np.unique(arrivals[best], return_index=True)
        return arrived, moved[best[first]]

    def add(
        self,
        places: np.ndarray,
        scores: np.ndarray,
        beyond: np.ndarray,
        deviation: float,
        news: float,
        radius: float,
    ) -> None:
        """Add an image to all paths; `best` is then the one of the largest sum.

        Parameters
        ----------
        places, scores : (C,) the places most similar to the image, and by how much; all others score 0.
        beyond : (C,) scores of these places beyond what they usually have, of any sign.
        deviation : of such scores among the places at large.
        news : way since the last image, spacings of the map.
        radius : metres that count as the surroundings of a place.
        """
        count = len(self._motion.positions)
        mean, spread = scores.mean(), max(float(scores.std()), 1e-6)
        standard_of, match_of = np.full(count, -mean / spread), np.zeros(count)
        standard_of[places] = (scores - mean) / spread
        match_of[places] = np.clip(beyond / deviation**_CLEARNESS, *_MATCHES)
        hopeful = places[standard_of[places] > _DRIFT]
        added = []
        for ends, paths in zip(self._ends, self._paths):
            ends, paths = self._begun(ends, paths, hopeful)
            gained = standard_of[ends], match_of[ends] / deviation
            added.append(self._added(ends, paths, *gained, deviation, news))
        self._ends, self._paths = [ends for ends, _ in added], [paths for _, paths in added]
        self._rival *= np.exp(-news / _RIVAL_MEMORY)
        self.best = self._best(radius, deviation)
        if not self.best.agrees:
            for paths in self._paths:
                paths[:, :_LATEST] *= 1 - _LAPSE

    def _begun(
        self, ends: np.ndarray, paths: np.ndarray, hopeful: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Those paths, and new ones that begin at the hopeful places at which none of them ends."""
        is_taken = np.zeros(len(self._motion.positions), bool)
        is_taken[ends] = True
        begun = hopeful[~is_taken[hopeful]]
        new = np.zeros((len(begun), 8))
        new[:, _ORIGIN] = self._origins + np.arange(len(begun))
        self._origins += len(begun)
        return np.concatenate([ends, begun]), np.concatenate([paths, new])

    @staticmethod
    def _added(
        ends: np.ndarray,
        paths: np.ndarray,
        scores: np.ndarray,
        matches: np.ndarray,
        deviation: float,
        news: float,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Paths with an image more, those that are worth going on."""
        paths[:, :_LATEST] *= np.exp(-news / _MEMORY)
        paths[:, _SUM] += news * (scores - _DRIFT)
        paths[:, _WEIGHT] += news
        paths[:, _MATCH] += news * matches
        paths[:, _INFORMATION] += news / deviation
        paths[:, _LATEST] += (1 - np.exp(-news / _RECENT)) * (scores - paths[:, _LATEST])
        kept = np.flatnonzero(paths[:, _SUM] > 0)
        if len(kept) > _PATHS:
            kept = kept[np.argpartition(-paths[kept, _SUM], _PATHS)[:_PATHS]]
        return ends[kept], paths[kept]

    def _best(self, radius: float, deviation: float) -> Path:
        """The path of the largest sum, compared with those that end elsewhere."""
        ends, paths = np.concatenate(self._ends), np.concatenate(self._paths)
        if not len(ends):
            return Path()
        row = int(paths[:, _SUM].argmax())
        is_reversed = np.arange(len(ends)) >= len(self._ends[0])
        place, (total, weight, match, information, latest) = int(ends[row]), paths[row, : _LATEST + 1]
        is_elsewhere = self._motion.distances_to(place, ends) > radius
        lead = total - paths[is_elsewhere, _SUM].max(initial=0.0)
        is_apart = paths[:, _ORIGIN] != paths[row, _ORIGIN]
        self._rival = max(self._rival, float(paths[is_elsewhere & is_apart, _SUM].max(initial=0.0)))
        count = len(self._motion.positions)
        surprise = np.log(count) * (total / max(self._rival, _LEAST_RIVAL) - 1)
        # A long street of equal images seems to say little that is new, until the next one has more left.
        clearness = min(1.0, _STEADY * weight / information / deviation) ** _CLEARNESS
        mean = match / information * clearness
        return Path(
            place,
            is_reversed=bool(is_reversed[row]),
            lead=float(lead),
            evidence=max(float(surprise), 0.0),
            match=float(mean * weight / (weight + _HALF) / np.log(count + _FEW)),
            is_poor=bool(weight > _LONG and mean < _POOR * np.sqrt(2 * np.log(count))),
            agrees=bool(latest >= _STILL_AGREES * (total / weight + _DRIFT)),
        )
