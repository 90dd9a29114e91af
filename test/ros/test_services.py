"""What a service answers when something goes wrong: a sentence that says what to do."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from netvlad_core.errors import MapError, NetvladError
from netvlad_ros.services import failure, folder_of, folder_to_write, maps_folder


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MapError("there is no map /maps/x"), "there is no map /maps/x"),
        (
            OSError(errno.EROFS, os.strerror(errno.EROFS), "/maps"),
            "/maps: Read-only file system; choose a folder that can be written to",
        ),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/maps/x"),
            "/maps/x: No space left on device; make room or choose another disk",
        ),
        (OSError(errno.EIO, os.strerror(errno.EIO)), "Input/output error"),
        (
            OSError("1476608 requested and 255968 written"),
            "cannot read or write (1476608 requested and 255968 written); is the disk full?",
        ),
        (ValueError("odd"), "ValueError: odd"),
        (MapError("/maps/\udcff holds a\ud800"), "/maps/\\udcff holds a\\ud800"),
    ],
)
def test_failure_is_one_sentence(error, sentence):
    assert failure(error) == sentence


def test_folders_of_requests_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert folder_of("maps/campus", None) == tmp_path / "maps" / "campus"
    assert folder_of("~/maps", tmp_path) == tmp_path / "home" / "maps"
    for text in ("", "a\nb", "a\0b"):
        with pytest.raises(NetvladError, match="names no folder"):
            folder_of(text, tmp_path)


def test_of_the_disk_beyond_the_folder_of_maps_nothing_is_told(tmp_path):
    maps = tmp_path / "maps"
    for path in (maps / "campus", tmp_path / "secret"):
        path.mkdir(parents=True)
    (maps / "out").symlink_to(tmp_path / "secret")
    (maps / "circle").symlink_to(maps / "circle")
    (maps / "campus" / "in").symlink_to(maps / "campus")
    assert folder_of(f"{maps}/campus/in", maps) == maps / "campus"
    outside = ["secret", "nothing", "maps/out", "maps/out/deeper", "maps/../secret", "maps", "maps/circle/x"]
    for path in [*(f"{tmp_path}/{name}" for name in outside), "/", "~nobody-here/map", "~root", "x" * 260]:
        with pytest.raises(NetvladError) as refused:
            folder_of(path, maps)
        shown = path if path[0] in "~/" else Path.cwd() / path
        assert str(refused.value).startswith(f"{shown} is not below {maps}, to which")


def test_folder_of_maps_is_that_of_the_parameters(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for values, expected in [
        ({"maps_folder": "", "map": ""}, None),
        ({"maps_folder": "", "map": "maps/campus"}, tmp_path / "maps"),
        ({"maps_folder": "all", "map": "maps/campus"}, tmp_path / "all"),
    ]:
        assert maps_folder(values.__getitem__) == expected
    with pytest.raises(NetvladError, match="no map may be written"):
        folder_to_write("maps/campus", None)
    assert folder_to_write("maps/campus", tmp_path) == tmp_path / "maps" / "campus"
