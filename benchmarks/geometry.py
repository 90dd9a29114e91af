"""Which local features, and what their evidence is worth: single images, among retrieval's own ten best.

Every map lacks a part of the streets, as in benchmarks/ladder.py, so that many images show places that were
never mapped and count as mistakes. Nothing but the ranking is judged: the place that comes first, and its
score as confidence. Columns are R@1 / recall at 100 % precision / at 99 %, in %, of the images whose place is
mapped:

- similarity: the descriptors alone.
- inliers: local features that agree with one fundamental matrix, alone.
- root: similarity x root of the inliers, which needs no map that has taught anything.
- both: the same beyond what chance gives, as the map has taught it (netvlad_core/geometry/evidence.py).
- calibrated: the same where camera and poses are known, so that points of the map are there to measure a pose
  from (netvlad_core/localization/geometry/verification.py).

The last columns are the 95 % interval of what both gains over similarity, calibrated if it can be, by a
bootstrap over images, and the time. The second table varies how the evidence is used, on one kind of
features: R@1 / recall at 100 %.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from scipy.optimize import minimize

from benchmarks import scenes
from benchmarks._measure import print_table
from benchmarks.scenes import Change, Workshop, add_arguments, workshop
from netvlad_core.data.radii import NEGATIVE_BEYOND, POSITIVE_WITHIN
from netvlad_core.evaluation.precision_recall import precision_recall
from netvlad_core.geometry.evidence import Likelihood
from netvlad_core.geometry.features import KINDS
from netvlad_core.geometry.local_features import LocalFeatures, find_features
from netvlad_core.geometry.two_views import TwoViews, compare
from netvlad_core.localization.geometry.seen import Seen
from netvlad_core.localization.geometry.verification import CLEARLY, Verifier
from netvlad_core.localization.geometry.verification_options import VerificationOptions
from netvlad_core.localization.observation import Observation
from netvlad_core.mapping.place_geometry import PlaceGeometry
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.search import open_index

_CANDIDATES = 10
_STEP = {"town": 4, "estate": 4, "ietower": 2}  # of the images
_RESAMPLED = 500
_SAMPLED, _STRANGERS = 60, 6  # as when a map is built


@dataclass(frozen=True)
class Case:
    """A map and a drive through it; `light` is that of a rendered drive."""

    name: str
    light: str = ""
    change: Change | None = None

    @property
    def title(self) -> str:
        return ", ".join(filter(None, (self.name, self.light, self.change.__name__ if self.change else "")))


_REAL = [
    *map(Case, ("rtabmap_corridor", "vprbench_corridor", "toshiki_loop", "ietower")),
    Case("rtabmap_corridor", change=scenes.dark),
    Case("rtabmap_corridor", change=scenes.blurred),
    Case("vprbench_corridor", change=scenes.dark),
]
_TOWN = [
    *(Case("town", light) for light in ("evening", "dusk", "night", "winter")),
    Case("town", "evening", scenes.dark),
    Case("town", "evening", scenes.blurred),
    Case("estate", "evening"),
]


@dataclass(frozen=True, eq=False)
class Pair:
    """An image and a candidate: similarity, comparison, and whether the candidate is right."""

    similarity: float
    inliers: int
    cells: int
    scale: float
    away: float
    query: int
    place: int


Score = Callable[[Pair], float]
Judged = tuple[
    np.ndarray, np.ndarray
]  # confidence and rightness of what was chosen for each image, (Q,) each


def measured(query: LocalFeatures, place: LocalFeatures) -> tuple[int, int, float]:
    """Inliers, cells of a grid of 8 x 6 that they fall in (both images), |log| of the change of scale."""
    views: TwoViews = compare(query, place)
    cells = sum(
        len(np.unique((each.points[rows] / each.size * (8, 6)).astype(int), axis=0))
        for each, rows in zip((query, place), views.inliers.T)
    )
    return len(views.inliers), cells, abs(float(np.log(views.scale)))


class Trial:
    """One case with one kind of features: the pairs of each image, and those of the map itself."""

    def __init__(self, shop: Workshop, case: Case, kind: str) -> None:
        self.case, self.kind = case, kind
        self.place_map = shop.place_map(case.name, has_gap=True, features=kind)
        _, self.source, self.within = shop.sources(case.name)
        if case.light:
            self.source = shop.rendered(case.name, case.light)
        label = case.name if case.light in ("", "evening") else f"{case.name} {case.light}"
        drive = shop.drive(self.place_map, self.source, label, case.change)
        rows = np.arange(0, len(drive), _STEP.get(case.name, 1))
        self.rows = rows
        self.geometry = PlaceGeometry(self.place_map)
        index = open_index(self.place_map.descriptors)
        query = self.place_map.reduced(drive.descriptors[rows])
        similarities, places = index.search(query, _CANDIDATES)
        self.truth = drive.positions[rows]
        away = np.linalg.norm(self.place_map.poses[places, :3] - self.truth[:, None], axis=2)
        every = np.linalg.norm(self.place_map.poses[:, None, :3] - self.truth, axis=2)
        self.is_answerable = every.min(axis=0) <= self.within
        wanted, images = set(rows.tolist()), []
        for number, frame in enumerate(self.source):
            if number in wanted:
                image = frame.decode()
                images.append(image if case.change is None else case.change(image))
        verifier = Verifier.of_map(self.place_map, VerificationOptions()) if self.place_map.camera else None
        self.find_ms, self.compare_ms = 0.0, 0.0
        self.pairs, self.seen = list[list[Pair]](), list[Seen]()
        for number, image in enumerate(images):
            started = perf_counter()
            found = find_features(image, KINDS[kind].located, kind)
            compared = found.strongest(KINDS[kind].stored)
            middle = perf_counter()
            candidates = zip(similarities[number], places[number].tolist(), away[number])
            self.pairs.append([
                Pair(float(s), *self._measured(compared, p), float(a), int(rows[number]), p)
                for s, p, a in candidates
            ])  # fmt: skip
            self.find_ms += 1e3 * (middle - started) / len(images)
            self.compare_ms += 1e3 * (perf_counter() - middle) / len(images)
            if verifier is not None:
                observation = Observation(0, query[number], features=found)
                matches = self.place_map.matches(places[number], similarities[number])
                seen = verifier.see(observation, matches, POSITIVE_WITHIN)
                assert seen is not None
                self.seen.append(seen)

    def _measured(self, query: LocalFeatures, place: int) -> tuple[int, int, float]:
        return measured(query, self.geometry.features_of(place))

    def judged(self, score: Score, clearly: float = 1.0) -> Judged:
        """The best candidate of each image by a score; far from the most similar one only if clearly so."""
        best = []
        for pairs in self.pairs:
            similar, highest = max(pairs, key=similarity), max(pairs, key=score)
            positions = self.place_map.poses[[pair.place for pair in pairs], :3]
            away = np.linalg.norm(positions - self.place_map.poses[similar.place, :3], axis=1)
            here = max((pair for pair, far in zip(pairs, away) if far <= POSITIVE_WITHIN), key=score)
            best.append(highest if score(highest) > clearly * score(here) else here)
        return np.array([score(pair) for pair in best]), np.array([pair.away <= self.within for pair in best])

    def verified(self) -> Judged:
        """The place of each image by all that the product does with a calibrated camera."""
        confidence = np.array([seen.confidence for seen in self.seen])
        positions = self.place_map.poses[[seen.matches[0].place for seen in self.seen], :3]
        return confidence, np.linalg.norm(positions - self.truth, axis=1) <= self.within

    def figures(self, judged: Judged, taken: np.ndarray | slice = slice(None)) -> np.ndarray:
        """R@1, recall at 100 % and at 99 % precision, in %."""
        confidence, is_right = judged
        answerable = self.is_answerable[taken]
        curve = precision_recall(confidence[taken], is_right[taken], answerable)
        shares = (is_right[taken].sum() / answerable.sum(), curve.recall_at(1.0), curve.recall_at(0.99))
        return 100 * np.array(shares)

    def gain(self, judged: Judged, over: Judged) -> tuple[np.ndarray, np.ndarray]:
        """2.5th and 97.5th percentile of the gain in the three figures."""
        random = np.random.default_rng(0)
        gains = []
        for _ in range(_RESAMPLED):
            taken = random.integers(0, len(self.pairs), len(self.pairs))
            if self.is_answerable[taken].any():
                gains.append(self.figures(judged, taken) - self.figures(over, taken))
        low, high = np.percentile(gains, [2.5, 97.5], axis=0)
        return low, high

    def of_the_map(self) -> tuple[list[Pair], list[Pair]]:
        """Neighbours and strangers of the map itself."""
        poses = np.asarray(self.place_map.poses[:, :3])
        descriptors = np.asarray(self.place_map.descriptors[:])
        near, far = list[Pair](), list[Pair]()
        for row in np.unique(np.linspace(0, len(poses) - 1, _SAMPLED).astype(int)).tolist():
            away, similarities = np.linalg.norm(poses - poses[row], axis=1), descriptors @ descriptors[row]
            order = np.argsort(-similarities, kind="stable")
            strangers = [other for other in order if away[other] > NEGATIVE_BEYOND][:_STRANGERS]
            beside = [other for other in range(row - 2, row + 3) if 0 <= other < len(poses) and other != row]
            beside = [other for other in beside if away[other] <= POSITIVE_WITHIN]
            for others, kept in ((beside, near), (strangers, far)):
                for other in map(int, others):
                    found = measured(self.geometry.features_of(row), self.geometry.features_of(other))
                    kept.append(Pair(float(similarities[other]), *found, float(away[other]), row, other))
        return near, far


def similarity(pair: Pair) -> float:
    return pair.similarity


def inliers(pair: Pair) -> float:
    return float(pair.inliers)


def root(pair: Pair) -> float:
    return pair.similarity * float(np.sqrt(max(1, pair.inliers)))


def both(likelihood: Likelihood | None) -> Score:
    """Similarity and what the map has taught of inliers; if it has taught nothing, as without it."""
    if likelihood is None:
        return root
    return lambda pair: pair.similarity * likelihood.support(pair.inliers)


def likelihood_of(place_map: PlaceMap) -> Likelihood | None:
    return place_map.features.likelihood if place_map.features else None


def row(trial: Trial) -> list[str]:
    unmapped = int((~trial.is_answerable).sum())
    by_both = trial.judged(both(likelihood_of(trial.place_map)), CLEARLY)
    judged = [*map(trial.judged, (similarity, inliers, root)), by_both]
    judged += [trial.verified()] if trial.seen else []
    figures = [" / ".join(f"{value:.1f}" for value in trial.figures(each)) for each in judged]
    low, high = trial.gain(judged[-1], judged[0])
    interval = [f"{low[number]:+.0f} to {high[number]:+.0f}" for number in (0, 2)]
    return [
        trial.case.title, f"{len(trial.pairs)}, {unmapped}", trial.kind,
        *(figures if trial.seen else [*figures, "-"]), *interval,
        f"{trial.find_ms:.0f} + {trial.compare_ms:.0f}",
    ]  # fmt: skip


def variants(trial: Trial) -> Iterator[tuple[str, Score]]:
    """Ways to use the evidence."""
    yield "similarity alone", similarity
    yield "chosen: lowest decile, power 1/2", both(likelihood_of(trial.place_map))
    near, far = trial.of_the_map()
    if not near or not far:
        return
    counts = np.maximum(6, [pair.inliers for pair in far])
    x, spread = np.log(counts), float(np.std([pair.similarity for pair in far]))
    usual, scale = float(np.quantile(x, 0.75)), max(0.1, float(x.std()))

    def powered(quantile: float, power: float) -> Score:
        chance = float(np.quantile(counts, quantile))
        return lambda pair: pair.similarity * max(1.0, pair.inliers / chance) ** power

    def added(worth: float) -> Score:
        taught = Likelihood(1.0, usual, scale, 1.0)
        return lambda pair: pair.similarity + worth * spread * taught.log_ratio(pair.inliers)

    evidence, quartile, deviation = _regression(near, far)
    yield "lowest decile, power 3/4", powered(0.1, 0.75)
    yield "lower quartile, power 1/2", powered(0.25, 0.5)
    yield "median, power 1/2", powered(0.5, 0.5)
    yield "upper quartile, power 1/2", powered(0.75, 0.5)
    yield "similarity + 2 deviations a nat", added(2.0)
    yield "similarity + 4 deviations a nat", added(4.0)
    yield (
        "the same, of inliers, spread and scale",
        lambda pair: pair.similarity + 2 * spread * max(0.0, (evidence(pair) - quartile) / deviation),
    )


def _regression(near: Sequence[Pair], far: Sequence[Pair]) -> tuple[Score, float, float]:
    """Evidence from three numbers, by neighbours against strangers; the strangers' quartile and deviation."""

    def numbers(pair: Pair) -> np.ndarray:
        return np.array([np.log(max(6, pair.inliers)), np.log(max(2, pair.cells)), -pair.scale])

    pairs, signs = (
        np.array([numbers(p) for p in (*near, *far)]),
        np.repeat([1.0, -1.0], [len(near), len(far)]),
    )
    spread = np.maximum(pairs[signs < 0].std(axis=0), 1e-3)
    share = np.where(signs > 0, 0.5 / len(near), 0.5 / len(far))

    def loss(values: np.ndarray) -> float:
        margins = signs * (pairs / spread @ values[:-1] + values[-1])
        return float(share @ np.logaddexp(0, -margins) + 0.01 * values[:-1] @ values[:-1])

    found = minimize(loss, np.zeros(4), bounds=[(0, None)] * 3 + [(None, None)]).x
    weights = found[:-1] / spread
    along = pairs[signs < 0] @ weights
    quartile, deviation = float(np.quantile(along, 0.75)), max(1e-3, float(along.std()))
    return lambda pair: float(numbers(pair) @ weights), quartile, deviation


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--features", nargs="+", choices=KINDS, default=list(KINDS), help="(default: all)")
    parser.add_argument("--varied", choices=KINDS, default="xfeat", help="of the second table")
    parser.add_argument("--sets", nargs="+", help="(default: all)")
    options = parser.parse_args()
    shop = workshop(options)
    cases = (_REAL if shop.data.is_dir() else []) + (_TOWN if shop.has_town else [])
    cases = [case for case in cases if options.sets is None or case.name in options.sets]
    rows, varied = [], dict[str, list[str]]()
    for case in cases:
        for kind in options.features:
            trial = Trial(shop, case, kind)
            rows.append(row(trial))
            print(
                *rows[-1], sep="  ", file=sys.stderr, flush=True
            )  # the table comes last, and this takes long
            if kind == options.varied:
                for name, score in variants(trial):
                    shown = " / ".join(f"{value:.1f}" for value in trial.figures(trial.judged(score))[:2])
                    varied.setdefault(name, []).append(shown)
    header = ["drive", "images, unmapped", "features", "similarity", "inliers", "root", "both"]
    header += ["calibrated", "gain in R@1", "gain at 99 %", "ms to find + compare"]
    print_table(header, rows)
    print()
    print_table(
        ["evidence", *(case.title for case in cases)], [[name, *shown] for name, shown in varied.items()]
    )


if __name__ == "__main__":
    main()
