"""What a node remembers after a restart: its map and its last place, in a file."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

from netvlad_core.errors import NetvladError
from netvlad_core.files import user_path
from netvlad_core.localization.last_place import LastPlace
from netvlad_ros.newest import NewestWorker
from netvlad_ros.services import failure

_PERIOD = 1.0  # seconds


class Memory:
    """Keeps the last place about once a second, in a thread of its own: a slow disk delays no answer.

    Parameters
    ----------
    path : of the file, as a user writes it; empty keeps nothing.

    Attributes
    ----------
    last : what is known now; None before the first map.
    problem : why the file cannot be written, empty if it can.
    """

    def __init__(self, path: str) -> None:
        self._path = user_path(path).absolute() if path else None
        self.last: LastPlace | None = None
        self.problem = ""
        self._due = 0.0
        self._writer: NewestWorker[LastPlace] | None = None

    def read(self) -> None:
        """Recall what the file says; raises NetvladError if it cannot be believed."""
        self.last = LastPlace.read(self._path) if self._path else None

    def start(self) -> None:
        """From now on write what is kept."""
        if self._path is not None:
            self._writer = NewestWorker(self._write)
            if self.last is not None:
                self._writer.put(self.last)

    def stop(self) -> None:
        """Write no more, once the present file is complete."""
        if self._writer is not None:
            self._writer.stop()
            self._writer = None

    def begin(self, path: Path, map_id: str) -> None:
        """Another map is open, or the same again, in which the last place still counts."""
        if self._path is not None and (self.last is None or self.last.map_id != map_id):
            self.keep(LastPlace(str(path.absolute()), map_id))

    def keep(self, last: LastPlace) -> None:
        """Remember a place."""
        is_news = self.last is None or (last.map_id, last.place < 0) != (
            self.last.map_id,
            self.last.place < 0,
        )
        self.last = last
        if self._writer is not None and (is_news or monotonic() >= self._due):
            self._due = monotonic() + _PERIOD
            self._writer.put(last)

    def _write(self, last: LastPlace) -> None:
        try:
            assert self._path is not None
            last.write(self._path)
            self.problem = ""
        except (NetvladError, OSError) as error:
            self.problem = f"the last place is not kept in state_file: {failure(error)}"
