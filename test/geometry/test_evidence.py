"""A likelihood ratio of inliers: what strangers of the map usually have is worth nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest

from netvlad_core.geometry.evidence import Likelihood, is_likelihood


def _learned(usual: float, seed: int = 0) -> Likelihood:
    random = np.random.default_rng(seed)
    inliers = np.exp(random.normal(np.log(usual), 0.3, (60, 5))).astype(int)
    found = Likelihood.learned(inliers, random.normal(0.3, 0.05, (60, 5)))
    assert found is not None
    return found


def test_what_strangers_have_is_worth_nothing_and_nothing_speaks_against_a_place() -> None:
    taught = _learned(60)
    assert taught.log_ratio(0) == taught.log_ratio(30) == taught.log_ratio(60) == 0.0
    assert 1.5 < taught.log_ratio(120) < taught.log_ratio(240)
    assert taught.support(0) == taught.support(38) == 1.0
    assert taught.support(4 * 41) == pytest.approx(2.0, rel=0.05)


def test_same_count_says_more_in_a_map_whose_strangers_share_little() -> None:
    assert _learned(15).log_ratio(60) > 3.0 > 1.0 > _learned(60).log_ratio(60)
    assert _learned(15).support(60) > 1.9 * _learned(60).support(60)


def test_tail_is_that_of_the_strangers() -> None:
    """A quarter of them exceeds 0, and a share of about exp(-l) / 4 exceeds l."""
    random = np.random.default_rng(1)
    counts = np.exp(np.log(20) + random.exponential(0.4, (600, 5))).astype(int)
    taught = Likelihood.learned(counts, np.full((600, 5), 0.3))
    assert taught is not None
    ratios = np.array([taught.log_ratio(count) for count in counts.ravel().tolist()])
    assert (ratios > 0).mean() == pytest.approx(0.25, abs=0.03)
    assert (ratios > 2).mean() == pytest.approx(np.exp(-2) / 4, abs=0.015)


def test_threshold_is_what_the_best_strangers_seldom_reach() -> None:
    similarities = np.linspace(0.1, 0.5, 41)[:, None].repeat(3, 1)
    similarities[:, 1:] = -np.inf
    taught = Likelihood.learned(np.full((41, 3), 25), similarities)
    assert taught is not None
    assert taught.threshold == pytest.approx(0.46)
    more = Likelihood.learned(np.array([[25], [25], [25], [100]] * 10), np.full((40, 1), 0.4))
    assert more is not None
    assert more.threshold == pytest.approx(0.8), "inliers count as they do for a match"


def test_few_strangers_teach_nothing_and_equal_ones_no_certainty() -> None:
    similarities = np.full((6, 5), 0.3)
    similarities[3, 2] = -np.inf
    assert Likelihood.learned(np.full((6, 5), 20), similarities) is None
    for count in (0, 20):
        taught = Likelihood.learned(np.full((6, 5), count), np.full((6, 5), 0.3))
        assert taught is not None
        assert np.isfinite([taught.log_ratio(10_000), taught.support(10_000)]).all()


def test_json_comes_back_and_what_cannot_be_is_refused() -> None:
    taught = _learned(20)
    values = json.loads(json.dumps(taught.to_json()))
    assert is_likelihood(values)
    assert Likelihood.from_json(values) == taught
    wrong: list[object] = [None, [], {}, {**values, "more": 1.0}]
    wrong += [{**values, "scale": value} for value in (0, -1, 1e9, "1", True)]
    for each in wrong:
        assert not is_likelihood(each)
    assert not is_likelihood({**values, "usual": float("nan")})
