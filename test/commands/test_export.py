"""`netvlad export`, `fit` and `import-weights` replace their own files alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from netvlad_core.cli import main
from support.street import street, write_catalogue

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


def test_a_fit_replaces_a_checkpoint_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drive = write_catalogue(tmp_path / "drive", street(seed=1, metres=40), range(0, 30, 3))
    output = tmp_path / "net.safetensors"
    for _ in range(2):
        arguments = ["fit", str(drive), "--clusters", "2", "--quiet", "--device", "cpu", "--output"]
        assert main([*arguments, str(output)]) == 0
    for path in (drive, tmp_path / "drive" / "000.png"):
        before = path.read_bytes()
        assert main([*arguments, str(path)]) == 1
        assert "choose another output" in capsys.readouterr().err
        assert path.read_bytes() == before
    assert main(["import-weights", str(output), "--output", str(output)]) == 1
    assert "is read by this command, too" in capsys.readouterr().err
