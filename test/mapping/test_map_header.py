"""map.json is judged at one door: types, ranges, lengths, and a sum of its own."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from netvlad_core.errors import MapError
from netvlad_core.mapping import map_header
from netvlad_core.mapping.map_header import MapHeader
from netvlad_core.mapping.place_map import PlaceMap


@pytest.fixture
def rewritten(street_map: PlaceMap, tmp_path: Path) -> Callable[..., Path]:
    """A map.json with other values and a right sum, so that only the judgement of the values is left."""

    def write(**changes: Any) -> Path:
        values = json.loads((street_map.path / "map.json").read_text())
        del values["sha256"]
        values.update(changes)
        values["sha256"] = map_header._checksum(values)
        (tmp_path / "map.json").write_text(json.dumps(values))
        return tmp_path / "map.json"

    return write


def test_what_was_written_is_read(street_map: PlaceMap, rewritten: Callable[..., Path]) -> None:
    assert MapHeader.read(rewritten()) == street_map.header
    street_map.header.write(rewritten())


_NO_MAP_HAS: list[tuple[str, Any]] = [
    *product(("map_id", "model_id", "frame_id", "source"), (None, 5, [], "\ud800")),
    *product(("source",), ("a\0b", "x" * 20_000)),
    *product(("dimension", "places"), (0, -1, 2.0, "40", True, 10**12, None)),
    ("stored_dimension", 10**6),
    *product(("spacing",), ("x", None, float("nan"), float("inf"), -1.0, 1e300, 10**400, True)),
    *product(("similarity_threshold",), (None, float("nan"), 1.06, -3, [])),
    *product(("store_images",), ("some", None, ["full"], {})),
    *product(("weights",), (5, "a\0b", [])),
    *product(("preprocessing",), (None, [], {"a": {"b": 1}}, {"a": [[1]]})),
    *product(("skipped",), ([], {"dark": -1}, {"dark": "3"})),
    *product(("files",), (None, [], {"map.json": {}}, {"descriptors.npy": 5})),
    *[
        ("files", {name: {"bytes": 3, "sha256": "0" * 64}})
        for name in ("../secret", "/etc/passwd", "notes.txt")
    ],
]


@pytest.mark.parametrize(("name", "value"), _NO_MAP_HAS)
def test_value_that_no_map_has_is_refused(name: str, value: Any, rewritten: Callable[..., Path]) -> None:
    with pytest.raises(MapError, match=r"map\.json"):
        MapHeader.read(rewritten(**{name: value}))


@pytest.mark.parametrize("name", ["descriptors.npy", "poses.npy", "stamps.npy", "names.json", "images.bin"])
def test_every_file_that_is_read_is_named(
    name: str, street_map: PlaceMap, rewritten: Callable[..., Path]
) -> None:
    files = {key: stated for key, stated in street_map.header.files.items() if key != name}
    with pytest.raises(MapError, match=f"does not name {name}"):
        MapHeader.read(rewritten(files=files))
    with pytest.raises(MapError, match="does not name"):
        MapHeader.read(rewritten(files={}))


def test_every_flipped_bit_is_noticed(street_map: PlaceMap, tmp_path: Path) -> None:
    content = (street_map.path / "map.json").read_bytes()
    path = tmp_path / "map.json"
    for _ in range(400):
        damaged = bytearray(content)
        damaged[random.randrange(len(damaged))] ^= 1 << random.randrange(8)
        path.write_bytes(damaged)
        try:
            header = MapHeader.read(path)
        except MapError:
            continue
        assert header == street_map.header, "at most the space between two values has changed"


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        "9" * 100_000,
        b"\xff\xfe",
        " " * (2 << 20),
        '{"format": ["netvlad"]}',
    ],
    ids=["lists", "objects", "digits", "no text", "too large", "other format"],
)
def test_json_that_is_no_map_is_refused(text: str | bytes, tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(MapError, match=r"map\.json"):
        MapHeader.read(path)


def test_file_that_is_too_large_is_not_read(rewritten: Callable[..., Path]) -> None:
    path = rewritten()
    path.write_text(path.read_text() + " " * (1 << 20))
    with pytest.raises(MapError, match=r"has \d+ bytes; a map is described in fewer"):
        MapHeader.read(path)


def test_pipe_and_device_are_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    os.mkfifo(path)
    with pytest.raises(MapError, match="is a pipe"):
        MapHeader.read(path)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(MapError, match="is a link"):
        MapHeader.read(path)


def test_map_without_sessions_is_written_for_older_programs(
    street_map: PlaceMap, rewritten: Callable[..., Path]
) -> None:
    path = rewritten()
    street_map.header.write(path)
    values = json.loads(path.read_text())
    assert values["version"] == 2
    assert "origin" not in values
    assert not {"sessions", "history"} & values.keys()
    with pytest.raises(MapError, match="unknown ones: sessions"):
        MapHeader.read(rewritten(sessions=[]))


_SESSION = {"name": "noon", "source": "a drive", "map_id": "noon@1"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *product(("sessions",), (None, {}, [1], [{"name": "noon"}], [{**_SESSION, "source": 3}], "noon")),
        *product(("history",), (None, [[]], [{"operation": "merge"}], [{"operation": 1, "maps": []}])),
        *product(
            ("history",), ([{"operation": "merge", "maps": [3]}], [{"operation": "merge", "maps": None}])
        ),
    ],
)
def test_odd_session_is_refused(name: str, value: Any, rewritten: Callable[..., Path]) -> None:
    good = {"version": 3, "sessions": [_SESSION], "history": [{"operation": "merge", "maps": ["noon@1"]}]}
    assert MapHeader.read(rewritten(**good)).sessions == [_SESSION]
    with pytest.raises(MapError, match=rf"map\.json is damaged: {name} is"):
        MapHeader.read(rewritten(**{**good, name: value}))


def test_origin_on_earth_makes_version_4(street_map: PlaceMap, tmp_path: Path) -> None:
    replace(street_map.header, origin=[48.1, 11.5, 500.0]).write(tmp_path / "map.json")
    header = MapHeader.read(tmp_path / "map.json")
    assert (header.version, header.origin, header.sessions) == (4, [48.1, 11.5, 500.0], [])


@pytest.mark.parametrize("origin", [[48.1, 11.5], [91, 0, 0], [0, 181, 0], [0, 0, 1e9], ["a", 0, 0], "there"])
def test_odd_origin_is_refused(origin: Any, rewritten: Callable[..., Path]) -> None:
    good = {"version": 4, "sessions": [], "history": [], "origin": [-90, 180, 0]}
    assert MapHeader.read(rewritten(**good)).origin == [-90, 180, 0]
    with pytest.raises(MapError, match="origin is"):
        MapHeader.read(rewritten(**{**good, "origin": origin}))


def test_several_sessions_need_their_file(rewritten: Callable[..., Path]) -> None:
    with pytest.raises(MapError, match=r"does not name sessions\.npy"):
        MapHeader.read(rewritten(version=3, sessions=[_SESSION] * 2, history=[]))
