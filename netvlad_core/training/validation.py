"""Recall@N on places that training does not see."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from netvlad_core.model.extractor import Extractor
from netvlad_core.search import open_index
from netvlad_core.training.cache import DescriptorCache
from netvlad_core.training.config import TrainingConfig
from netvlad_core.training.metrics import RECALL_AT
from netvlad_core.training.places import TrainingSet
from netvlad_core.training.processes import Processes
from netvlad_core.training.views import Views

_SEARCHED_TOGETHER = 256


class Validation:
    """Queries to be found in a database.

    Parameters
    ----------
    queries : None where each image of the database is a query for the others; then images of the same drive
        within the time exclusion are left out of the answers.
    folder : for the descriptors, which are too many for the memory.

    Attributes
    ----------
    queries : counted, those without a correct answer included.
    """

    def __init__(self, database: Views, queries: Views | None, config: TrainingConfig, folder: Path) -> None:
        radius = config.correct_radius
        rule = replace(
            config, positive_radius=radius, negative_radius=radius, min_distance=0.0, heading_limit=180.0
        )
        self._set = TrainingSet.build(database, queries, rule)
        self._config = config
        self._path = folder / "validation_descriptors"
        self.queries = len(self._set.queries) + self._set.without_positive

    def recall(self, extractor: Extractor, processes: Processes, progress: bool = True) -> dict[int, float]:
        """Share of ALL queries with a correct image among the first n, for the n of RECALL_AT."""
        views, database = self._set.views, self._set.database
        cache = DescriptorCache(self._path, (len(views), extractor.dimension), self._config.cache_type)
        broken = cache.refresh(extractor, views, np.arange(len(views)), processes, progress)
        descriptors = cache.open()
        database = database[~np.isin(database, broken)]
        own = processes.share(np.arange(len(self._set.queries)))
        own = own[~np.isin(self._set.queries[own], broken)]
        hits = np.zeros(len(RECALL_AT), np.int64)
        if len(database) and len(own):
            index = open_index(descriptors[database], device=extractor.device)
            excluded = [self._excluded(self._set.queries[query], database) for query in own]
            deepest = max(RECALL_AT) + max(map(len, excluded))
            for start in range(0, len(own), _SEARCHED_TOGETHER):
                asked = own[start : start + _SEARCHED_TOGETHER]
                wanted = descriptors[self._set.queries[asked]].astype(np.float32)
                found = database[index.search(wanted, deepest)[1]]
                for query, rows, out in zip(asked, found, excluded[start:]):
                    best = rows[~np.isin(rows, out)][: max(RECALL_AT)]
                    ranks = np.flatnonzero(np.isin(best, self._set.positives[query]))
                    hits += np.array([len(ranks) > 0 and ranks[0] < n for n in RECALL_AT])
        shares = processes.sum_array(hits) / self.queries
        return dict(zip(RECALL_AT, shares.tolist()))

    def _excluded(self, query: int, database: np.ndarray) -> np.ndarray:
        """Rows that are no answer: the query itself and, where time matters, its neighbours on the drive."""
        views = self._set.views
        if views.labels is not None:
            return database[database == query]
        near = np.abs(views.stamps[database] - views.stamps[query]) <= self._config.time_exclusion * 1e9
        return database[near & (views.drives[database] == views.drives[query])]
