"""Objects of a store by their names, in a folder or in a bucket; the one place that imports obstore."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from netvlad_core.errors import NetvladError
from netvlad_core.files import user_path

# A file is kept in parts of this size, by which stores are written: a connection that breaks costs one part.
PART = 1 << 20
_SCHEMES = ("s3", "gs", "az")
_SECONDS = 120  # of one request: a part over a slow mobile link
_RETRIES: Any = {"max_retries": 5, "retry_timeout": timedelta(seconds=60)}
_MOST = 1 << 27  # bytes of an object that is read whole


class StoreError(NetvladError):
    """A store of a fleet that cannot be reached, is none, or does not hold what is asked for."""


def store_location(text: str) -> str:
    """A store as a user names it: the address of a bucket as it is, a folder absolute.

    Raises
    ------
    NetvladError
        If it is neither.
    """
    scheme, separator, _ = text.partition("://")
    if not separator:
        return str(user_path(text).absolute())
    if scheme not in _SCHEMES:
        known = ", ".join(f"{known}://" for known in _SCHEMES)
        raise StoreError(f"{text} is no store: expected a folder, or an address that begins with {known}")
    return text.rstrip("/")


class Objects:
    """Named objects; a name that is taken keeps its content.

    Parameters
    ----------
    location : as `store_location` gives it.

    Raises
    ------
    StoreError
        If obstore is not installed, or the location cannot be used; all methods raise it, too, when the store
        cannot be reached.
    """

    def __init__(self, location: str) -> None:
        try:
            import obstore
            from obstore.store import LocalStore, from_url
        except ModuleNotFoundError as error:
            raise StoreError(missing_package("obstore")) from error
        self.location = location
        self._obstore: Any = obstore
        with self._reached():
            if "://" in location:
                # The environment speaks for options that are not given here, but for none if some are.
                allows_http = os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true")
                options: Any = {"timeout": f"{_SECONDS}s", "allow_http": allows_http}
                self._store: Any = from_url(location, client_options=options, retry_config=_RETRIES)
            else:
                self._store = LocalStore(Path(location), mkdir=True)

    def create(self, name: str, content: bytes) -> bool:
        """Write an object unless there is one of this name; returns whether there was none."""
        with self._reached():
            try:
                self._obstore.put(self._store, name, content, mode="create")
            except self._obstore.exceptions.AlreadyExistsError:
                return False
        return True

    def read(self, name: str) -> bytes | None:
        """Content of a small object, None if there is none."""
        with self._reached():
            try:
                found = self._obstore.get(self._store, name)
                if found.meta["size"] > _MOST:
                    raise StoreError(f"{self.location}/{name} is larger than {_MOST} bytes")
                return bytes(found.bytes())
            except (FileNotFoundError, self._obstore.exceptions.NotFoundError):
                return None

    def put_file(self, path: Path, name: str) -> Iterator[int]:
        """Write the parts of a file that are not there; yields the bytes of each part, there or written."""
        size = path.stat().st_size
        there = self._sizes(name)
        with path.open("rb") as file:
            for part in _parts(size):
                count = min(PART, size - PART * part)
                label = _part_name(part)
                if there.get(label, count) != count:
                    raise StoreError(
                        f"{self.location}/{name}/{label} has {there[label]} bytes, expected {count}: it is "
                        "damaged; remove it and push again"
                    )
                if label not in there:
                    file.seek(PART * part)
                    self.create(f"{name}/{label}", file.read(count))
                yield count

    def get_file(self, name: str, size: int, path: Path) -> Iterator[int]:
        """Append to a file what it lacks of `put_file`'s; yields the bytes of each part, there or read."""
        path.touch()
        with path.open("r+b") as file:
            held = path.stat().st_size
            whole = len(_parts(size)) if held == size else min(held, size) // PART
            file.truncate(min(size, whole * PART))
            file.seek(0, os.SEEK_END)
            for part in _parts(size):
                count = min(PART, size - PART * part)
                if part >= whole:
                    content = self.read(f"{name}/{_part_name(part)}")
                    if content is None or len(content) != count:
                        raise StoreError(f"{self.location} lacks part {part} of {name}; push the map again")
                    file.write(content)
                yield count

    def _sizes(self, folder: str) -> dict[str, int]:
        """Names and sizes of the objects in a folder."""
        with self._reached():
            listed = [each for batch in self._obstore.list(self._store, f"{folder}/") for each in batch]
        return {each["path"].rpartition("/")[2]: each["size"] for each in listed}

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except (self._obstore.exceptions.BaseError, OSError, ValueError) as error:
            raise unreachable(self.location, error) from error


def missing_package(name: str) -> str:
    return (
        f"a store of maps needs the Python package {name}: install it with "
        "`pip install 'netvlad_core[fleet]'` or `pip install lancedb obstore`"
    )


def unreachable(location: str, error: Exception) -> StoreError:
    """What is raised when an engine of the store has failed."""
    reason = " ".join(str(error).partition("Debug source")[0].split())[:300] or type(error).__name__
    return StoreError(
        f"the store {location} cannot be used: {reason}; the same command continues where this one stopped"
    )


def _parts(size: int) -> range:
    return range(-(-size // PART))


def _part_name(part: int) -> str:
    return f"{part:06d}"
