"""Recall on places that training does not see, against descriptors compared by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from netvlad_core.data.frames import Frame
from netvlad_core.errors import SourceError
from netvlad_core.model.extractor import Extractor
from netvlad_core.training.config import TrainingConfig
from netvlad_core.training.metrics import RECALL_AT
from netvlad_core.training.processes import Processes
from netvlad_core.training.validation import Validation
from netvlad_core.training.views import Views
from support.street import street, view
from support.training import still_views

CONFIG = TrainingConfig(correct_radius=6.0, time_exclusion=0.0, device="cpu")


def along(metres: range, seed: int) -> Views:
    """Views of one street from these metres."""
    fronts = street(seed=seed, metres=100)
    positions = np.array([(x, 0.0) for x in metres])
    frames = [Frame(f"{x}.png", i, None, lambda x=x: view(fronts, x)) for i, x in enumerate(metres)]
    return replace(still_views(positions), frames=frames)


def test_recall_is_that_of_all_queries(tmp_path: Path, tiny: Path) -> None:
    database, queries = along(range(0, 60, 4), seed=1), along(range(1, 90, 8), seed=1)
    extractor = Extractor.load(tiny, "cpu")
    validation = Validation(database, queries, CONFIG, tmp_path)
    found = validation.recall(extractor, Processes("cpu"), progress=False)
    described = (extractor([frame.decode() for frame in views.frames]) for views in (database, queries))
    places, asked = described
    order = np.argsort(-asked @ places.T, axis=1, kind="stable")
    away = np.abs(database.positions[:, 0][order] - queries.positions[:, :1])
    expected = {n: float((away[:, :n] <= 6).any(axis=1).mean()) for n in RECALL_AT}
    assert found == pytest.approx(expected)
    assert validation.queries == len(queries) == 12
    assert 0 < found[10] <= 9 / 12, "the last three queries have no correct place, and count"


def test_places_all_within_reach_are_no_reason_to_refuse(tmp_path: Path, tiny: Path) -> None:
    views = along(range(0, 5, 2), seed=1)
    recall = Validation(views, None, CONFIG, tmp_path).recall(Extractor.load(tiny, "cpu"), Processes("cpu"))
    assert recall == {1: 1.0, 5: 1.0, 10: 1.0}, "each has another one of its place, and nothing is elsewhere"


@pytest.mark.parametrize(
    ("step", "options"), [(10, {}), (2, {"time_exclusion": 100.0})], ids=["too far apart", "at one moment"]
)
def test_queries_without_any_answer_are_refused(tmp_path: Path, step: int, options: dict) -> None:
    views = along(range(0, 10 * step, step), seed=1)
    with pytest.raises(SourceError, match=r"none of the 10 validation queries .* within 6 m"):
        Validation(views, None, replace(CONFIG, **options), tmp_path)
