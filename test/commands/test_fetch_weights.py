"""`netvlad fetch-weights` says where a file is, what to do with it, and what to do without internet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from netvlad_core.cli import main
from netvlad_core.model.published import PUBLISHED


def test_no_server_says_what_to_do_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    unreachable = replace(PUBLISHED["vgg16"], url="http://127.0.0.1:9/vgg16.pth")
    monkeypatch.setitem(PUBLISHED, "vgg16", unreachable)
    assert main(["fetch-weights", "vgg16", "--folder", str(tmp_path), "--quiet"]) == 1
    error = capsys.readouterr().err
    assert "cannot fetch http://127.0.0.1:9/vgg16.pth" in error
    assert f"put it here as {tmp_path / unreachable.file}" in error


def test_file_put_there_by_hand_is_checked_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(PUBLISHED, "openibl", replace(PUBLISHED["openibl"], url="http://127.0.0.1:9/x"))
    (tmp_path / PUBLISHED["openibl"].file).write_bytes(b"weights")
    assert main(["fetch-weights", "openibl", "--folder", str(tmp_path)]) == 0
    assert "netvlad import-weights" in capsys.readouterr().out
