"""One map is open at a time, and it stays so until another one is."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy")
from netvlad_core.errors import NetvladError
from netvlad_core.localization.localizer_options import LocalizerOptions
from netvlad_ros.open_map import OpenMap

_OPTIONS = LocalizerOptions()


@pytest.fixture
def told() -> list[str | None]:
    return []


@pytest.fixture
def allowed(told) -> OpenMap:
    """A map may be opened; what is told of it is kept."""
    maps = OpenMap(lambda place_map: told.append(place_map and place_map.header.map_id))
    maps.allow()
    return maps


def _open(maps: OpenMap, path: object):
    return maps.open(str(path), "", "cpu", _OPTIONS, "auto")


def test_map_is_told_when_it_opens_and_when_it_closes(allowed, told, map_path):
    opened = _open(allowed, map_path)
    assert allowed.localizer is opened
    assert told == [opened.place_map.header.map_id]
    allowed.close()
    assert allowed.localizer is None
    assert told[1:] == [None]
    allowed.close()
    assert told[1:] == [None], "nothing was open any more"


def test_error_leaves_the_map_open_that_was(allowed, told, map_path, tmp_path):
    opened = _open(allowed, map_path)
    with pytest.raises(NetvladError, match="there is no map"):
        _open(allowed, tmp_path / "nothing")
    assert allowed.localizer is opened
    assert len(told) == 1


def test_map_that_cannot_be_told_does_not_replace_another(allowed, map_path, monkeypatch):
    opened = _open(allowed, map_path)

    def fail(_: object) -> None:
        raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")

    monkeypatch.setattr(allowed, "_tell", fail)
    with pytest.raises(UnicodeEncodeError):
        _open(allowed, map_path)
    assert allowed.localizer is opened


def test_none_opens_before_the_node_is_configured_or_after_it_is_cleaned_up(allowed, told, map_path):
    for closed in (OpenMap(told.append), allowed):
        closed.close()
        with pytest.raises(NetvladError, match="configure it first"):
            _open(closed, map_path)
    assert told == []


def test_other_options_keep_the_index(allowed, map_path):
    assert allowed.with_options(_OPTIONS) is None
    index = _open(allowed, map_path).index
    changed = allowed.with_options(LocalizerOptions(top_k=3))
    assert changed is allowed.localizer
    assert (changed.options.top_k, changed.index) == (3, index)
