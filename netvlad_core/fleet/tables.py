"""The two tables of a store: places and the log of sessions; the one place that imports LanceDB."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from time import sleep
from typing import Any, TypeVar

import numpy as np

from netvlad_core.fleet.objects import StoreError, missing_package, unreachable

WIDTH = 512  # numbers of a descriptor in the table
_PLACE_TEXTS = ("site", "session", "push", "robot", "model")
_POSE = ("x", "y", "z", "qx", "qy", "qz", "qw")  # NaN without a pose
_LOG_TEXTS = ("site", "session", "push", "robot", "model", "kind", "map_id", "holds", "files")
_LOG_NUMBERS = ("pushed", "places", "bytes")
_BLOCK = 1024  # places handed over at a time
# Fewer places are compared one by one; more by an index of cells that keeps a bit for each number.
_INDEXED_FROM = 50_000
_PLACES_PER_CELL, _PROBED, _RANKED = 1000, 20, 20
_ATTEMPTS = 20  # of a change that others have overtaken
_KEPT = timedelta(days=7)  # earlier states of the tables, for whoever reads them now

_T = TypeVar("_T")


def literal(text: str) -> str:
    """A text as filters write it."""
    return "'" + text.replace("'", "''") + "'"


class Tables:
    """Tables by the names that the store has given them.

    Several programs write at the same time: rows are only added, or removed by a filter, and the engine puts
    one change after the other.

    Raises
    ------
    StoreError
        If LanceDB is not installed, or there are no such tables; all methods raise it, too, when the store
        cannot be reached.
    """

    def __init__(self, location: str) -> None:
        try:
            import lancedb
        except ModuleNotFoundError as error:
            raise StoreError(missing_package("lancedb")) from error
        # OpenVINO forks for a moment when it is loaded; its child has nothing to do with LanceDB.
        warnings.filterwarnings("ignore", "lancedb fork support", RuntimeWarning)
        self.location = location
        with self._reached():
            self._database: Any = lancedb.connect(location)
        self._places: Any = None
        self._log: Any = None

    def make(self, suffix: str) -> None:
        """Make empty tables, whose suffix nobody else has."""
        with self._reached():
            self._database.create_table(f"places_{suffix}", schema=_places_schema())
            self._database.create_table(f"sessions_{suffix}", schema=_log_schema())

    def drop(self, suffix: str) -> None:
        with self._reached():
            for name in ("places", "sessions"):
                self._database.drop_table(f"{name}_{suffix}")

    def open(self, suffix: str) -> None:
        with self._reached():
            self._places = self._database.open_table(f"places_{suffix}")
            self._log = self._database.open_table(f"sessions_{suffix}")

    # --- The log --------------------------------------------------------------------------------------------

    def add_to_log(self, row: dict[str, Any]) -> None:
        import pyarrow

        rows = pyarrow.Table.from_pylist([row], schema=_log_schema())
        self._changed(lambda: self._log.add(rows))

    def log(self, where: str | None = None) -> list[dict[str, Any]]:
        """Rows of the log in the order in which they were added."""
        with self._reached():
            self._log.checkout_latest()
            query = self._log.search()
            return (query.where(where) if where else query).limit(None).to_arrow().to_pylist()

    # --- Places ---------------------------------------------------------------------------------------------

    def add_places(self, texts: dict[str, str], blocks: Callable[[], Iterable[tuple[Any, ...]]]) -> None:
        """Add the places of a map, all or none.

        Parameters
        ----------
        texts : what all of them share, by column.
        blocks : gives rows (K,) int, stamps (K,) int64, poses (K, 7) float64, descriptors (K, 512) float16.
        """
        import pyarrow

        def batches() -> Iterator[Any]:
            for rows, stamps, poses, descriptors in blocks():
                columns = [pyarrow.array([texts[name]] * len(rows)) for name in _PLACE_TEXTS]
                columns += [pyarrow.array(rows, pyarrow.int32()), pyarrow.array(stamps, pyarrow.int64())]
                columns += [pyarrow.array(column) for column in np.asarray(poses, np.float64).T]
                flat = pyarrow.array(descriptors.ravel())
                columns.append(pyarrow.FixedSizeListArray.from_arrays(flat, WIDTH))
                yield pyarrow.RecordBatch.from_arrays(columns, schema=_places_schema())

        self._changed(
            lambda: self._places.add(pyarrow.RecordBatchReader.from_batches(_places_schema(), batches()))
        )

    def count_places(self, where: str | None = None) -> int:
        with self._reached():
            self._places.checkout_latest()
            return self._places.count_rows(where)

    def remove_places(self, where: str) -> None:
        self._changed(lambda: self._places.delete(where))

    def nearest(self, descriptor: np.ndarray, where: str, count: int) -> list[dict[str, Any]]:
        """Places most similar to (512,) float32 of all that a filter leaves, with `similarity` and `pose`."""
        with self._reached():
            query = self._places.search(descriptor, vector_column_name="descriptor").distance_type("dot")
            query = query.where(where, prefilter=True).limit(count).nprobes(_PROBED).refine_factor(_RANKED)
            columns = ["site", "session", "robot", "place", "stamp", *_POSE, "_distance"]
            found = query.select(columns).to_arrow().to_pylist()
        for row in found:
            row["similarity"] = 1.0 - row.pop("_distance")
            row["pose"] = [row.pop(name) for name in _POSE]
        return found

    # --- Care -----------------------------------------------------------------------------------------------

    def tidy(self) -> None:
        """Join small files, bring the index up to date, and forget states of the tables older than a week."""
        from lancedb.index import Bitmap, BTree, IvfRq

        for table in (self._log, self._places):
            self._changed(partial(table.optimize, cleanup_older_than=_KEPT))
        with self._reached():
            indexed = {column for index in self._places.list_indices() for column in index.columns}
            count = self._places.count_rows()
        if count < _INDEXED_FROM:
            return
        cells = 1 << max(4, round(np.log2(count / _PLACES_PER_CELL)))
        wanted = {
            "descriptor": IvfRq(distance_type="dot", num_partitions=cells, max_iterations=15, sample_rate=64),
            "session": BTree(),
            "site": Bitmap(),
            "model": Bitmap(),
        }
        for column, config in wanted.items():
            if column not in indexed:
                self._changed(partial(self._places.create_index, column, config=config))

    def _changed(self, change: Callable[[], _T]) -> _T:
        """Make a change, again if others were faster."""
        for attempt in range(_ATTEMPTS):
            try:
                with self._reached():
                    for table in (self._places, self._log):
                        table.checkout_latest()
                    return change()
            except StoreError as error:
                if "conflict" not in str(error).lower() or attempt + 1 == _ATTEMPTS:
                    raise
            sleep(random.uniform(0.0, 0.1 * (attempt + 1)))
        raise AssertionError  # the last attempt returns or raises

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, OSError, ValueError) as error:  # the engine's own failures
            raise unreachable(self.location, error) from error


def _places_schema() -> Any:
    import pyarrow as pa

    texts = [(name, pa.string()) for name in _PLACE_TEXTS]
    pose = [(name, pa.float64()) for name in _POSE]
    descriptor = ("descriptor", pa.list_(pa.float16(), WIDTH))
    return pa.schema([*texts, ("place", pa.int32()), ("stamp", pa.int64()), *pose, descriptor])


def _log_schema() -> Any:
    import pyarrow as pa

    return pa.schema([(name, pa.string()) for name in _LOG_TEXTS] + [(n, pa.int64()) for n in _LOG_NUMBERS])
