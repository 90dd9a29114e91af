"""Where on the map, or off it, has the robot been driving? A discrete Bayes filter over the places.

A single image is never safe to act on: look-alike and unmapped places reach high similarities. Along a drive,
though, only the true places keep matching in the order in which the robot passes them.

Every place has a probability, see `PlaceBelief`. An image counts by how much more it looks like a place than
the other images of the drive did, in standard deviations of its similarities to the map. That takes light,
network and places that resemble everything (a blank wall, a dark corner) out of it.

Two questions are asked of the best place. Does it lead over every other part of the map, along the drive? Off
the map some place is always the best one, but by chance it leads little. And do the images look like it more
than like any other part of the map? A street of the same course and light as a mapped one can be followed for
long, but its images prefer other places as often as not.

In extreme light no single image answers the second question. Then the whole drive does: `PathSums` adds up
what little each image says, and tells how surprising the best path is; see there.
"""

from __future__ import annotations

from copy import copy, deepcopy
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from scipy.special import expit

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.tracking.anchored_place import AnchoredPlace
from netvlad_core.localization.tracking.glimpses import Glimpse, Glimpses
from netvlad_core.localization.tracking.path_sums import Path, PathSums
from netvlad_core.localization.tracking.place_belief import AGAINST, ALONG, PlaceBelief
from netvlad_core.localization.tracking.place_motion import Motion, PlaceMotion
from netvlad_core.localization.tracking.sequence_options import SequenceOptions
from netvlad_core.localization.tracking.usual_scores import UsualScores

# Numbers without a word on what was tried are by design; their neighbours were not tried.
# Odds of leaving a state are this much lower than those of entering it.
HYSTERESIS = 4.0
# Log-odds of a place per standard deviation by which its path leads over all others. 0.03 to 0.1 tried: the
# more, the more poses in sparse maps; 16 instead of 14 in the estate that has the streets of the town.
_LEAD = 0.1
# Spacings of the map that count as the surroundings of a place, whatever the radius: neighbours always look
# alike, and the world of a dense map is small.
_LEAST_RADIUS, _MOST_RADIUS = 3.0, 10.0
# Way, in spacings of the map, or turn below which an image is no news: belief and evidence wait for the next.
_NEWS = 0.5
_NEWS_TURN = np.radians(15)
# Without odometry: an image that differs less from the last one (1: neighbouring places) is of the same spot.
SAME_SPOT = 0.3
# Without odometry the speed is about the usual one (`place_belief.py`), and the robot may turn.
_SPEED_SIGMA = 0.15
_SPEED_TURN_SIGMA = np.radians(60)
# m/s; odometry that says more has been reset. Faster than any robot and most cars.
FASTEST = 50.0
# Share of `radius` around the place believed in that is compared with the rest of the map.
_BESIDE = 0.3
# Standard deviations that some other part of any map reaches by chance.
_USUAL_RIVAL = 1.0
# Weight of an image in the running mean of how much better than the rest the place believed in looks.
_LATEST_WEIGHT = 0.5
# The same for what is usual on this drive, and by how much the latest images may fall short of it. In extreme
# light images usually prefer another place, by one deviation; a robot that is carried off loses five.
_USUAL_WEIGHT = 0.03
_MOST_SHORT = 1.5
# Probability of another place that overrules the path. By design.
_SURE = 0.9
# Mean match of a path, as a share of ln(places), that streets on the plan of the map reach, and nats of
# evidence for each beyond. A match that is enough by itself was tried, too: then a town of which nothing was
# chosen has poses as grey pixels.
_LOOKALIKE_MATCH = 0.58
_MATCH_NATS = 120.0
# Probability of being on the map before the first image, and the same if the robot just was there.
_ON_MAP_AT_FIRST = 0.1
_ON_MAP_AS_BEFORE = 0.4
# Log-odds of the place where the robot just was over all others, and seconds in which half of that fades.
_HEAD_START = 6.0
_TRUSTED = 60.0

# Why there is no pose.
NOT_ENOUGH_YET = "there is not enough evidence yet: a few more images of a moving robot are needed"
RIVAL_PLACE = "another place is as likely"
OTHER_PART = "the last images look more like another part of the map"
OFF_MAP = "the images no longer look like the map: the robot has probably left it"


class State(IntEnum):
    """What the localizer knows; a pose goes with LOCALIZED only."""

    LOST = 0
    AMBIGUOUS = 1
    LOCALIZED = 2


@dataclass(frozen=True)
class Belief:
    """What the images so far say.

    Attributes
    ----------
    state : LOST, AMBIGUOUS or LOCALIZED.
    on_map : probability that the robot is on the map.
    place : the most probable place.
    probability : probability that the robot is within `radius` of that place.
    is_reversed : whether the robot faces against the heading of the place.
    confidence : ranking score: log-odds of the place, which do not saturate as the probability does, minus
        the standard deviations by which this image prefers another place: a drive that has just left the map
        still has a strong belief.
    reason : one sentence why the state is not LOCALIZED, empty if it is.
    """

    state: State
    on_map: float
    place: int
    probability: float
    is_reversed: bool
    confidence: float = -np.inf
    reason: str = NOT_ENOUGH_YET


class SequenceFilter:
    """Follows one robot through one map.

    Parameters
    ----------
    poses : (N, 7) float64, map <- base_link of the places, x y z qx qy qz qw; NaN if unknown. A map without
        any becomes a line, a metre from place to place.
    stamps : (N,) int64, nanoseconds, of the places; they tell the usual speed.
    """

    def __init__(
        self, poses: np.ndarray, stamps: np.ndarray | None = None, options: SequenceOptions | None = None
    ) -> None:
        self.options = options or SequenceOptions()
        self.motion = PlaceMotion(np.asarray(poses, dtype=np.float64))
        self._usual_speed = _usual_speed(self.motion.spacing, stamps)
        self._paths = PathSums(self.motion)
        self._anchor = AnchoredPlace(self.motion)
        self._count = len(self.motion.positions)
        self._glimpses = Glimpses(self._count)
        self.forget()

    def with_options(self, options: SequenceOptions) -> SequenceFilter:
        """A filter with other options that goes on from here; this one stays as it is."""
        changed = copy(self)
        changed.options = options
        changed._paths, changed._usual = copy(self._paths), deepcopy(self._usual)
        changed._anchor, changed._glimpses = self._anchor.copy(), copy(self._glimpses)
        changed._where = self._where.copy()
        return changed

    def forget(self) -> None:
        """Start anew: the robot may be anywhere."""
        self._last: tuple[int, Pose | None] | None = None
        self._has_odometry = False
        self._paths.forget()
        self._anchor.forget()
        self._glimpses.forget()
        self._usual = UsualScores(self._count)
        self._on_map = _ON_MAP_AT_FIRST
        self._doubt = self._usual_doubt = self._gap = 0.0
        self._was_on_map = False
        self._where = PlaceBelief(self.motion, self.options.against)
        self._belief = Belief(State.LOST, self._on_map, 0, 0.0, False)

    def expect(self, place: int, is_reversed: bool, age: float) -> None:
        """Start anew, knowing where the robot was a while ago; images soon overrule what is wrong.

        Parameters
        ----------
        place : where it was, facing along or against its heading.
        age : seconds since then. The robot may have driven on at the usual speed meanwhile, or been carried.
        """
        self.forget()
        trust = 0.5 ** (age / _TRUSTED)
        spread = np.hypot(0.5 * self.options.radius, self._usual_speed * age)
        distances = np.nan_to_num(self.motion.distances_to(place), nan=np.inf)
        shares = np.expm1(trust * _HEAD_START * np.exp(-0.5 * (distances / spread) ** 2))
        self._where.prefer(shares, AGAINST if is_reversed else ALONG)
        self._on_map += trust * (_ON_MAP_AS_BEFORE - self._on_map)

    def update(
        self,
        places: np.ndarray,
        similarities: np.ndarray,
        typical: tuple[float, float],
        stamp: int,
        odometry: Pose | None = None,
        novelty: float = 1.0,
        measured: tuple[int, float] | None = None,
    ) -> Belief:
        """Take an image into account.

        Parameters
        ----------
        places : (C,) int, the places most similar to the image, or all places.
        similarities : (C,) float, similarity of the image to each of them.
        typical : mean and standard deviation of the image's similarity to the places at large.
        stamp : nanoseconds. A stamp before the last one means a clock that was reset: all is forgotten.
        odometry : odom <- base_link at the stamp, or None; without it time passes at the usual speed.
        novelty : without odometry, how much the image differs from the last one (1: neighbouring places); an
            image of a standing robot is no new evidence.
        measured : place at which the pose of the image was measured, facing along its heading, and the nats
            by which that speaks for the place, over all others and over being off the map.
        """
        if self._last is not None and stamp < self._last[0]:
            self.forget()
        image = Glimpse(places, (similarities - typical[0]) / max(typical[1], 1e-6), measured)
        news = 1.0
        if self._last is not None:
            motion = self._motion_since(*self._last, stamp, odometry, novelty)
            if motion is None or not self._is_news(motion):
                if motion is not None:
                    self._glimpse(motion, image)
                self._belief = self._named(self._belief, odometry)
                return self._belief
            news = min(1.0, motion.length / self.motion.spacing + abs(motion.turn) / (2 * _NEWS_TURN))
            self._has_odometry = not motion.is_guess
            if self._has_odometry:
                self._paths.move(motion)
            else:
                self._paths.forget()
            self._move(motion)
        self._last = (stamp, odometry)
        seen = self._glimpses.take(image)
        if seen.measured is not None:
            self._confirm(seen.measured[0], news * seen.measured[1])
        habit = self._habit
        itself = self._usual.left(image.places, image.scores, habit)
        scores = self._weigh(seen, habit, news)
        self._gap = self._gap_of(seen.places, scores)
        self._ask_whether(float(np.mean([*seen.gaps, self._gap_of(image.places, itself)])), news)
        belief = self._judge()
        if odometry is not None:
            self._anchor.add(belief.place, belief.is_reversed, odometry, news, belief.on_map)
        self._belief = self._named(belief, odometry)
        return self._belief

    def _named(self, belief: Belief, odometry: Pose | None) -> Belief:
        """The belief with the place that odometry is at, among the neighbours of the one believed in."""
        if odometry is None:
            return belief
        place = self._anchor.nearest(belief.place, belief.is_reversed, odometry)
        return replace(belief, place=place)

    def _motion_since(
        self, last_stamp: int, before: Pose | None, stamp: int, odometry: Pose | None, novelty: float
    ) -> Motion | None:
        """Movement since the last image that counted; None if it can only be guessed and is too small."""
        options = self.options
        seconds = (stamp - last_stamp) / 1e9
        if odometry is not None and before is not None and self.motion.has_poses:
            motion = Motion.between(before, odometry, options.odometry_sigma, options.turn_sigma)
            if motion.length <= max(FASTEST * seconds, self.motion.spacing):
                return motion
        self._anchor.forget()  # there is no odometry, or it was reset
        self._glimpses.forget()
        if novelty < SAME_SPOT:
            self._last = (stamp, odometry)
            return None
        length = (options.speed or self._usual_speed) * seconds
        if length < _NEWS * self.motion.spacing:
            return None
        return Motion(np.array([length, 0.0, 0.0]), 0.0, _SPEED_SIGMA * length, _SPEED_TURN_SIGMA, True)

    def _is_news(self, motion: Motion) -> bool:
        return motion.length >= _NEWS * self.motion.spacing or abs(motion.turn) >= _NEWS_TURN

    def _move(self, motion: Motion) -> None:
        """Prediction: what leaves the map may be anywhere, and is evidence that the robot has left it."""
        options = self.options
        if motion.length > self.motion.farthest:
            self._where.spread_out(options.against)
            return
        on_map = self._on_map * self._where.move(motion, options.leak)
        self._on_map = (1 - options.leave) * on_map + options.enter * (1 - on_map)

    def _confirm(self, place: int, nats: float) -> None:
        """Correction by a pose that was measured at a place."""
        reach = max(_BESIDE * self._radius, self.motion.spacing)
        near = np.flatnonzero(self.motion.distances_to(place) <= reach)
        self._where.weigh(near, float(np.exp(nats)), slice(ALONG, ALONG + 1))
        self._on_map = _probability(np.log(_odds(self._on_map)) + nats)

    @property
    def _habit(self) -> float:
        """Images after which half of what places usually score is subtracted."""
        # Without odometry nothing but single images tells a street from others of its look.
        most = self.options.habit
        return self._usual.habit(most) if self._has_odometry else most

    def _weigh(self, seen: Glimpse, habit: float, news: float) -> np.ndarray:
        """Where? Correction by what was seen; returns its scores beyond the usual ones, (C,)."""
        options, places = self.options, seen.places
        # The places that are no candidates score at most as much as the last candidate.
        lowest = max(0.0, seen.scores.min()) if len(places) < self._count else 0.0
        deviation = self._usual.deviation_left(habit)
        scores = self._usual.beyond(places, seen.scores, news, habit)
        usable = np.clip(scores, lowest, max(options.highest_score, lowest)) - lowest
        self._paths.add(places, usable, scores, deviation, news, self._radius)
        self._where.weigh(places, np.exp(news * options.sharpness * usable))
        return scores

    def _glimpse(self, motion: Motion, image: Glimpse) -> None:
        """Keep what an image that is no news says for the next one that is."""
        way = motion.length / self.motion.spacing
        if self._glimpses.wants(way):
            scores = self._usual.left(image.places, image.scores, self._habit)
            self._glimpses.add(way, image, self._gap_of(image.places, scores))

    def _gap_of(self, places: np.ndarray, scores: np.ndarray) -> float:
        """By how much an image looks like the place believed in more than like any other part of the map."""
        distances = self.motion.distances_to(self._where.best[1], places)
        beside = max(_BESIDE * self._radius, 2 * self.motion.spacing)
        here = max(scores[distances <= beside].max(initial=-np.inf), 0.0)
        return float(here - max(scores[distances > self._radius].max(initial=-np.inf), _USUAL_RIVAL))

    def _ask_whether(self, gap: float, news: float) -> None:
        """On the map at all? Correction by the gap of the images."""
        options = self.options
        self._doubt -= _LATEST_WEIGHT * news * (gap + self._doubt)
        self._usual_doubt -= _USUAL_WEIGHT * news * (gap + self._usual_doubt)
        log_odds = news * options.gain * np.clip(gap - options.margin, *options.gap_range)
        self._on_map = _probability(np.log(_odds(self._on_map)) + log_odds)

    def probabilities(self) -> np.ndarray:
        """(N,) float, probability of each place if the robot is on the map; but for traces they sum to 1."""
        return self._where.probabilities()

    @property
    def _radius(self) -> float:
        """Metres that count as the surroundings of a place."""
        spacing = self.motion.spacing
        return float(np.clip(self.options.radius, _LEAST_RADIUS * spacing, _MOST_RADIUS * spacing))

    def _lead(self, place: int) -> float:
        """Log-odds by which a place and its surroundings lead over every other part of the map."""
        return self._where.lead(place, self._radius) - self.options.chance

    def _judge(self) -> Belief:
        options = self.options
        enough = _odds(options.min_belief)
        if self._belief.state is State.LOCALIZED:
            enough /= HYSTERESIS
        path = self._paths.best
        direction, believed = self._where.best
        place = believed
        apart = self.motion.distances_to(path.place, believed)
        lead = self._lead(believed)
        # Where the latest images say for sure that the robot is elsewhere, it was carried.
        is_elsewhere = apart > self._radius and self._on_map * _probability(lead) >= _SURE
        follows = path.agrees and self._doubt - self._usual_doubt < _MOST_SHORT and not is_elsewhere
        on_path = self._by_path(path) if follows else 0.0
        if follows and (apart > min(options.radius, self._radius) or self._on_map < 0.5 < on_path):
            direction, place = int(path.is_reversed), path.place
            lead = self._lead(place)
        agree = follows and self.motion.distances_to(place, believed) <= self._radius
        along = _LEAD * path.lead
        by_images = self._on_map * _probability(max(lead, along) if agree else lead)
        by_path = on_path if agree else 0.0
        log_odds = float(np.log(_odds(max(self._on_map, by_path))))
        confidence = max(lead, along) + log_odds + min(self._gap, 0.0)
        # What min_belief is compared with. Images that prefer another part of the map say nothing for this,
        # nor do those on a long path that look-alike streets would make as well.
        is_lookalike = agree and path.is_poor and path.evidence < options.lookalike
        is_doubtful = is_lookalike or self._doubt >= options.contradiction
        said = max(0.0 if is_doubtful else by_images, by_path)
        probability = said or by_images
        is_enough = _odds(by_images) >= enough
        state = State.LOST
        if _odds(said) >= enough:
            state = State.LOCALIZED
        elif self._on_map > 0.5:
            state = State.AMBIGUOUS
        self._was_on_map |= self._on_map > 0.5
        reason = "" if state is State.LOCALIZED else self._reason(is_enough, lead)
        return Belief(state, self._on_map, place, probability, bool(direction), confidence, reason)

    def _by_path(self, path: Path) -> float:
        """Probability of a path: what chance hardly makes, and what look-alike streets hardly match."""
        beyond = _MATCH_NATS * max(path.match - _LOOKALIKE_MATCH, 0.0)
        return _probability(path.evidence + beyond - self.options.lookalike)

    def _reason(self, is_enough: bool, lead: float) -> str:
        """Why there is no pose: the largest of the doubts."""
        if is_enough:
            return OTHER_PART
        if self._on_map <= 0.5:
            return OFF_MAP if self._was_on_map else NOT_ENOUGH_YET
        return RIVAL_PLACE if _probability(lead) <= self._on_map else NOT_ENOUGH_YET


def _odds(probability: float) -> float:
    return probability / max(1e-12, 1 - probability)


def _probability(log_odds: float) -> float:
    return float(expit(log_odds))


def _usual_speed(spacing: float, stamps: np.ndarray | None) -> float:
    """Speed of the drive that made the map; a metre a second if its stamps say nothing."""
    steps = np.diff(stamps) / 1e9 if stamps is not None else np.empty(0)
    steps = steps[steps > 0]
    return spacing / float(np.median(steps)) if len(steps) else 1.0
