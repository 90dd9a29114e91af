"""Recall@N on places that training does not see."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from netvlad_core.errors import SourceError
from netvlad_core.model.extractor import Extractor
from netvlad_core.search import open_index, ranks_of_first_correct
from netvlad_core.training.cache import DescriptorCache
from netvlad_core.training.config import TrainingConfig
from netvlad_core.training.metrics import RECALL_AT
from netvlad_core.training.places import is_same_moment, joined, of_one_place
from netvlad_core.training.processes import Processes
from netvlad_core.training.views import Views

_SEARCHED_TOGETHER = 256


class Validation:
    """Queries to be found in a database.

    Parameters
    ----------
    queries : None: each image of the database is a query for the others. Images of the query's drive within
        the time exclusion are no answers.
    folder : folder of the file of descriptors, which are too many for the memory.

    Attributes
    ----------
    queries : number of queries, those without a correct answer included.
    """

    def __init__(self, database: Views, queries: Views | None, config: TrainingConfig, folder: Path) -> None:
        self._views, self._database, self._asked = joined(database, queries)
        self._correct = of_one_place(self._views, self._database, self._asked, config.correct_radius)
        self._config = config
        self._path = folder / "validation_descriptors"
        self.queries = len(self._asked)
        found = zip(self._asked, self._correct)
        if all(np.isin(rows, self._no_answers(query)).all() for query, rows in found):
            raise SourceError(
                f"none of the {self.queries} validation queries has another image of its place in the "
                f"validation database, by label or within {config.correct_radius:g} m: give a "
                "second drive of the same places in the same coordinates, or widen correct_radius"
            )

    def recall(self, extractor: Extractor, processes: Processes, progress: bool = True) -> dict[int, float]:
        """Share of ALL queries with a correct image among the first n, for the n of RECALL_AT."""
        views = self._views
        cache = DescriptorCache(self._path, (len(views), extractor.dimension), self._config.cache_type)
        broken = cache.refresh(extractor, views, np.arange(len(views)), processes, progress)
        descriptors = cache.open()
        database = self._database[~np.isin(self._database, broken)]
        own = processes.share(np.arange(self.queries))
        own = own[~np.isin(self._asked[own], broken)]
        ranked: list[np.ndarray] = []
        if len(database) and len(own):
            index = open_index(descriptors[database], device=extractor.device)
            left_out = [self._no_answers(query) for query in self._asked[own]]
            deepest = max(RECALL_AT) + max(map(len, left_out))
            for start in range(0, len(own), _SEARCHED_TOGETHER):
                asked = self._asked[own[start : start + _SEARCHED_TOGETHER]]
                found = database[index.search(descriptors[asked].astype(np.float32), deepest)[1]]
                ranked += [rows[~np.isin(rows, out)] for rows, out in zip(found, left_out[start:])]
        ranks = ranks_of_first_correct(ranked, [self._correct[query] for query in own[: len(ranked)]])
        hits = np.array([(ranks < n).sum() for n in RECALL_AT])
        shares = processes.sum_array(hits) / self.queries
        return dict(zip(RECALL_AT, shares.tolist()))

    def _no_answers(self, query: int) -> np.ndarray:
        """Rows that are no answers: the query itself and, if time matters, its neighbours on the drive."""
        database, seconds = self._database, self._config.time_exclusion
        if self._views.labels is not None:
            return database[database == query]
        return database[is_same_moment(self._views, query, database, seconds)]
