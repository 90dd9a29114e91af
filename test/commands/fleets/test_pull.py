"""`netvlad fleet pull` writes a version, and says which."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netvlad_core.cli import main


def test_pull(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["fleet", "pull", "--store", store, "--site", "street", "--output", str(tmp_path / "map")]
    for is_new in (True, False):
        assert main([*command, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["version"], told["is_new"], told["places"]) == (1, is_new, 30)
    assert main([*command[:-1], str(tmp_path / "other"), "--model", "none@0"]) == 1
    assert "has a map of the model efficientnet" in capsys.readouterr().err
    assert main([*command, "--version", "2"]) == 1
    assert "versions 1 to 1; there is no 2" in capsys.readouterr().err
    assert main(["fleet", "pull", "--store", store, "--site", "moon", "--output", str(tmp_path / "m")]) == 1
    assert "has no site moon; sites: street, yard" in capsys.readouterr().err
    assert main(["fleet", "sites", "--store", str(tmp_path / "nowhere")]) == 1
    assert "there is no store" in capsys.readouterr().err
