"""`netvlad fit` replaces a checkpoint and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from netvlad_core.cli import main
from support.street import street, write_catalogue


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
