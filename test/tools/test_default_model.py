"""The data of the default model: places that several images show, and others that training never sees."""

from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.ie_tower import TEST_FLOORS, VALIDATION_FLOORS, read_building
from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.model.checkpoints import load_checkpoint
from tools.default_model import town
from tools.default_model.pack import average
from town.ground import STRIDE
from town.town import make_town


def test_floors_are_kept_apart(shared_data: Path) -> None:
    frames = read_building(shared_data / "ietower")
    floors = {frame.floor for frame in frames}
    assert len(frames) == 2877
    assert floors > {*VALIDATION_FLOORS, *TEST_FLOORS}
    assert not {*VALIDATION_FLOORS} & {*TEST_FLOORS}
    videos = [[frame for frame in frames if frame.y == y] for y in {frame.y for frame in frames}]
    assert all(len({frame.floor for frame in video}) == 1 for video in videos), "a video is of one floor"


def test_town_is_seen_there_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(town, "STEP", 300.0)
    stops = make_town(3).route.pose(np.arange(0.0, 700.0, 300.0), 0.0)[:, :2]
    monkeypatch.setattr(town, "make_town", lambda *a, **k: make_town(*a, **k).around(stops, 40.0, STRIDE))
    town.render_town(tmp_path, seed=3, lights=["winter"])
    with (tmp_path / "town_3.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    there, back = rows[::2], rows[1::2]
    assert len(there) == len(back) > 1
    for one, other in zip(there, back):
        assert float(other["y"]) - float(one["y"]) == pytest.approx(town.APART, abs=10)
        assert np.cos(float(other["yaw"]) - float(one["yaw"])) == pytest.approx(-1)
    pictures = [frame.decode() for frame in CatalogueSource.from_csv(tmp_path / "town_3.csv")]
    assert all(picture.shape == (240, 320, 3) for picture in pictures)
    assert min(np.abs(a.astype(int) - b).mean() for a, b in pairwise(pictures)) > 10


def test_lights_are_those_of_the_seed() -> None:
    assert town.draw_lights(5, 4) == town.draw_lights(5, 4)
    assert {len(set(town.draw_lights(seed, 4))) for seed in range(9)} == {4}
    assert {town.draw_lights(seed, 4)[0] for seed in range(9)} == {"noon"}
    assert len({light for seed in range(9) for light in town.draw_lights(seed, 4)}) > 5


def test_average_lies_between_the_networks(checkpoint: Path) -> None:
    initial, trained = load_checkpoint(checkpoint), load_checkpoint(checkpoint)
    with torch.no_grad():
        trained.netvlad.centroids.add_(1.0)
    expected = initial.netvlad.centroids + 0.25
    averaged = average(initial, trained, share=0.25)
    torch.testing.assert_close(averaged.netvlad.centroids, expected)
    assert torch.equal(averaged.netvlad.assignment.weight, initial.netvlad.assignment.weight)
