"""A store of the maps of a fleet: what lies where in it, and its log.

A store is a folder or a bucket. `store.json` names its two tables, `files/` holds the files of all maps by
their checksums, each once, and `spaces/` the directions along which the descriptors of a model are stored in
the table of places. Maps are only added: what is in the log stays as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import uuid4

from netvlad_core.fleet.objects import Objects, StoreError, store_location
from netvlad_core.fleet.tables import Tables, literal
from netvlad_core.mapping.map_header import HEADER_FILE, is_file_of_map

_FORMAT, _VERSION = "netvlad_ros fleet store", 1
_HEADER = "store.json"
PUSHED, PUBLISHED = "pushed", "published"
_SITE = re.compile(r"[\w][\w .+-]{0,99}")


@dataclass(frozen=True)
class Entry:
    """A line of the log: one map of a site.

    Attributes
    ----------
    site : name of the site.
    session : sha256 of the map's map.json, which states the checksum of every other file: names the content.
    push : id of the push that wrote its places.
    kind : PUSHED by a robot, or PUBLISHED as the next version of the site.
    robot, pushed : who pushed it, and when by the clock there, nanoseconds.
    map_id, model, places, bytes : of the map.
    holds : ids of the maps whose places the map holds, its own among them.
    files : size and sha256 of each file of the map.
    """

    site: str
    session: str
    push: str
    kind: str
    robot: str
    pushed: int
    map_id: str
    model: str
    places: int
    bytes: int
    holds: frozenset[str]
    files: dict[str, dict[str, Any]]

    def row(self) -> dict[str, Any]:
        """As the table of sessions has it."""
        return {**asdict(self), "holds": json.dumps(sorted(self.holds)), "files": json.dumps(self.files)}

    @classmethod
    def of_row(cls, row: dict[str, Any]) -> Entry:
        """Raises StoreError for a row that no push has written."""
        try:
            files = json.loads(row["files"])
            holds = json.loads(row["holds"])
            is_sound = (
                all(is_file_of_map(name, stated) for name, stated in files.items())
                and HEADER_FILE in files
                and files[HEADER_FILE]["sha256"] == row["session"]
                and all(isinstance(map_id, str) for map_id in holds)
            )
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            is_sound = False
        if not is_sound:
            raise StoreError(f"the log of the store is damaged at session {row.get('session')!r:.80}")
        return cls(**{**row, "files": files, "holds": frozenset(holds)})


@dataclass(frozen=True)
class Site:
    """What the log says of one site.

    Attributes
    ----------
    name : of the site.
    entries : all of its maps, each once, oldest first.
    """

    name: str
    entries: Sequence[Entry]

    @property
    def versions(self) -> list[Entry]:
        """Versions 1, 2, ... of the site: its first map, and those that were published since."""
        return [*self.entries[:1], *(entry for entry in self.entries[1:] if entry.kind == PUBLISHED)]

    @property
    def waiting(self) -> list[Entry]:
        """Maps that the newest version does not hold yet."""
        holds = self.versions[-1].holds
        return [entry for entry in self.entries[1:] if entry.kind == PUSHED and entry.map_id not in holds]

    @property
    def live(self) -> list[Entry]:
        """Maps in which an image is looked for: the newest version and what it does not hold."""
        return [self.versions[-1], *self.waiting]

    def version(self, number: int | None = None) -> Entry:
        """A version by its number, None for the newest; raises StoreError if there is none."""
        versions = self.versions
        if number is not None and not 1 <= number <= len(versions):
            raise StoreError(f"the site {self.name} has versions 1 to {len(versions)}; there is no {number}")
        return versions[-1 if number is None else number - 1]


class FleetStore:
    """An open store.

    Parameters
    ----------
    location : folder or address, see `store_location`.
    makes : whether a store is made if there is none.

    Raises
    ------
    StoreError
        If there is no store, something else is there, it cannot be reached, or a package is missing; so do
        all methods.
    """

    def __init__(self, location: str, makes: bool = False) -> None:
        self.location = store_location(location)
        self.objects, self.tables = Objects(self.location), Tables(self.location)
        content = self.objects.read(_HEADER)
        if content is None:
            if not makes:
                raise StoreError(f"there is no store at {self.location}: the first push makes one")
            content = self._made()
        self.tables.open(_suffix(self.location, content))

    def _made(self) -> bytes:
        """Make a store; of several programs that do so at once one wins, and its tables count for all."""
        suffix = uuid4().hex
        self.tables.make(suffix)
        content = json.dumps({"format": _FORMAT, "version": _VERSION, "tables": suffix}).encode()
        if self.objects.create(_HEADER, content):
            return content
        self.tables.drop(suffix)
        winner = self.objects.read(_HEADER)
        assert winner is not None
        return winner

    def sites(self) -> list[Site]:
        """All sites by name, each with its log."""
        by_name: dict[str, list[Entry]] = {}
        for entry in self._entries(None):
            by_name.setdefault(entry.site, []).append(entry)
        return [Site(name, entries) for name, entries in sorted(by_name.items())]

    def site(self, name: str) -> Site:
        """One site; raises StoreError if the store does not know it."""
        found = self.find_site(name)
        if found is None:
            known = ", ".join(site.name for site in self.sites()) or "none"
            raise StoreError(f"{self.location} has no site {name}; sites: {known:.1000}")
        return found

    def find_site(self, name: str) -> Site | None:
        """One site, None if the store does not know it."""
        entries = self._entries(f"site = {literal(checked_site(name))}")
        return Site(name, entries) if entries else None

    def _entries(self, where: str | None) -> list[Entry]:
        """Entries of the log, those of one map and site once: a push may have been done twice at once."""
        entries: dict[tuple[str, str], Entry] = {}
        for row in self.tables.log(where):
            entries.setdefault((row["site"], row["session"]), Entry.of_row(row))
        return list(entries.values())


def checked_site(name: str) -> str:
    """The name of a site; raises StoreError if it is none: it also is the name of a folder of the robot."""
    if not _SITE.fullmatch(name):
        raise StoreError(
            f"{name!r:.120} cannot be the name of a site: expected up to 100 letters, digits, dots and the "
            "like, without slashes"
        )
    return name


def _suffix(location: str, content: bytes) -> str:
    try:
        header = json.loads(content)
        if header["format"] == _FORMAT and re.fullmatch("[0-9a-f]{32}", header["tables"]):
            if header["version"] != _VERSION:
                raise StoreError(
                    f"{location} is a store of version {header['version']!r:.40}, expected {_VERSION}"
                )
            return header["tables"]
    except (ValueError, KeyError, TypeError):
        pass
    raise StoreError(f"{location}/{_HEADER} does not describe a {_FORMAT}")
