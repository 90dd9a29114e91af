"""Division by place, with a strip of ground between the splits."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from examples.splitting import split_by_place
from netvlad_core.data.place_sets.place_set import PlaceImages, PlaceSet
from netvlad_core.errors import SourceError


def town(labels: bool = False) -> PlaceSet:
    """Images all over a square kilometre."""
    generator = np.random.default_rng(0)

    def images(count: int, letter: str) -> PlaceImages:
        names = [f"{letter}{number}.jpg" for number in range(count)]
        positions = generator.uniform(0, 1000, (count, 2))
        named = np.array([f"place{number % 40}" for number in range(count)]) if labels else None
        return PlaceImages(Path("/town"), names, None if labels else positions, labels=named)

    return PlaceSet("town", "", images(3000, "d"), images(600, "q"))


def test_no_image_is_within_the_buffer_of_another_split() -> None:
    parts = split_by_place(town(), buffer=25.0)
    assert list(parts) == ["train", "val", "test"]
    everywhere = {
        name: np.concatenate([part.database.positions, part.queries.positions])
        for name, part in parts.items()
    }
    for first, second in combinations(everywhere.values(), 2):
        assert cdist(first, second).min() >= 25.0
    assert all(part.split == name and len(part.queries) for name, part in parts.items())
    names = [name for part in parts.values() for name in part.database.names]
    assert len(set(names)) == len(names) > 2000  # the rest fell to the buffer
    assert len(parts["train"].database) > 5 * len(parts["val"].database)
    again = split_by_place(town(), buffer=25.0)
    assert all(parts[name].database.names == again[name].database.names for name in parts)


def test_the_test_set_loses_nothing_to_the_buffer() -> None:
    with_buffer, without = split_by_place(town(), buffer=25.0), split_by_place(town(), buffer=0.0)
    assert with_buffer["test"].database.names == without["test"].database.names
    assert len(with_buffer["train"].database) < len(without["train"].database)
    assert sum(len(part.database) for part in without.values()) == 3000


def test_a_label_is_in_one_split_only() -> None:
    parts = split_by_place(town(labels=True), {"train": 0.5, "test": 0.5})
    labels: list[set[str]] = []
    for part in parts.values():
        assert part.database.labels is not None
        assert part.queries.labels is not None
        labels.append({*part.database.labels, *part.queries.labels})
    assert not labels[0] & labels[1]
    assert len(labels[0] | labels[1]) == 40


def test_too_few_places() -> None:
    with pytest.raises(SourceError, match=r"1 places .* nothing is left for val, test; take"):
        split_by_place(town(), block=2000.0)
    plain = PlaceImages(Path("/town"), ["a.jpg"])
    with pytest.raises(SourceError, match="neither positions nor labels"):
        split_by_place(PlaceSet("town", "", plain, plain))
