"""Pictures of mistakes: which ones, and that they can be looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from netvlad_core.data.images import read_image
from netvlad_core.data.place_sets.place_set import PlaceImages, PlaceSet
from netvlad_core.evaluation.failures import draw_failure, worst_failures
from netvlad_core.evaluation.place_recognition import SetResult
from support.street import street, write_view


def test_worst_failures_are_the_surest_mistakes(tmp_path: Path) -> None:
    images = PlaceImages(tmp_path, ["0.png", "1.png", "2.png", "3.png"])
    one, two, none = np.array([1]), np.array([2]), np.empty(0, np.int64)
    ranked = [np.array([0, 1]), np.array([2, 1]), np.array([0, 1]), np.array([0, 1])]
    similarities = [np.array([s, 0.1]) for s in (0.5, 0.9, 0.7, 0.8)]
    result = SetResult(PlaceSet("", "", images, images), {}, ranked, similarities, [one, two, one, none])
    assert worst_failures(result, 5) == [2, 0]
    assert worst_failures(result, 1) == [2]
    for number in range(4):
        write_view(tmp_path / f"{number}.png", street(seed=1, metres=80), number)
    draw_failure(result, 2, tmp_path / "mistake.png")
    assert read_image(tmp_path / "mistake.png").std() > 20
