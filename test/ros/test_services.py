"""What a service answers when something goes wrong: a sentence that says what to do."""

from __future__ import annotations

import errno
import os
import shutil

import pytest

pytest.importorskip("rclpy")

from netvlad_core.errors import MapError, NetvladError
from netvlad_ros.services import failure, folder_of


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
        (
            shutil.Error([("/a/images.bin", "/b/images.bin", "[Errno 28] No space left on device")]),
            "cannot copy /a/images.bin: [Errno 28] No space left on device",
        ),
        (ValueError("odd"), "ValueError: odd"),
    ],
)
def test_failure_is_one_sentence(error, sentence):
    assert failure(error) == sentence


def test_folders_of_requests_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert folder_of("maps/campus") == tmp_path / "maps" / "campus"
    assert folder_of("~/maps") == tmp_path / "home" / "maps"
    with pytest.raises(NetvladError, match="names no folder"):
        folder_of("")
