"""`netvlad export` replaces its own files alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from netvlad_core.cli import main

pytest.importorskip("onnxscript")


def test_an_export_replaces_no_stranger(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "net.safetensors"
    shutil.copy(checkpoint, weights)
    stranger = tmp_path / "other.onnx"
    stranger.write_bytes(b"\x08\x07\x12\x07pytorch" + bytes(3000))
    for path, words in (
        (stranger, "no earlier run has written it"),
        (weights, "is read by this command, too"),
    ):
        before = path.read_bytes()
        assert main(["export", str(weights), "--output", str(path)]) == 1
        assert words in capsys.readouterr().err
        assert path.read_bytes() == before
