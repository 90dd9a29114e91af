"""Fewer numbers a descriptor: what of their inner products stays."""

from __future__ import annotations

import numpy as np
import pytest

from netvlad_core.mapping.projection import principal_directions


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def descriptors() -> np.ndarray:
    """Forty of 300 numbers, around a few common directions, as the places of one drive are."""
    generator = np.random.default_rng(0)
    return unit(
        generator.normal(size=(40, 6)) @ generator.normal(size=(6, 300)) + generator.normal(size=(40, 300))
    )


def test_nothing_is_lost_up_to_as_many_places_as_numbers(descriptors: np.ndarray) -> None:
    directions = principal_directions(descriptors, 64)
    assert directions.shape == (40, 300)
    queries = unit(np.random.default_rng(1).normal(size=(5, 300)) + descriptors[:5])
    np.testing.assert_allclose(
        (queries @ directions.T) @ (descriptors @ directions.T).T, queries @ descriptors.T, atol=1e-5
    )


def test_directions_are_orthonormal_and_the_best_there_are(descriptors: np.ndarray) -> None:
    directions = principal_directions(descriptors, 8)
    np.testing.assert_allclose(directions @ directions.T, np.eye(8), atol=1e-6)
    kept = np.linalg.norm(descriptors @ directions.T) ** 2
    best = (np.linalg.svd(descriptors, compute_uv=False)[:8] ** 2).sum()
    assert kept == pytest.approx(best, rel=1e-5)


def test_equal_images_add_no_direction(descriptors: np.ndarray) -> None:
    assert principal_directions(np.repeat(descriptors[:7], 3, axis=0), 64).shape == (7, 300)


def test_many_places_are_sampled_along_the_drive() -> None:
    generator = np.random.default_rng(2)
    spread = generator.normal(size=(5, 40)) * np.geomspace(1, 0.1, 5)[:, None]
    many = unit(generator.normal(size=(5000, 5)) @ spread)
    directions = principal_directions(many, 5)
    np.testing.assert_allclose(np.linalg.norm(many @ directions.T, axis=1), 1, atol=1e-4)


def test_a_stranger_stays_unlike_all_of_the_map(descriptors: np.ndarray) -> None:
    directions = principal_directions(descriptors, 64)
    stranger = unit(np.random.default_rng(3).normal(size=(1, 300)))
    place, other = np.linalg.norm(np.concatenate([descriptors[:1], stranger]) @ directions.T, axis=1)
    assert place == pytest.approx(1, abs=1e-5)
    assert other < 0.5
