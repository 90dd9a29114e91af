"""`netvlad fleet compact` publishes the next version, and says what still waits."""

from __future__ import annotations

import json

import pytest

from netvlad_core.cli import main


def test_compact(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["fleet", "compact", "--store", store, "--device", "cpu", "--quiet", "--json"]
    assert main([*command, "--site", "street", "--no-prune"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["version"], told["places"], told["left_out"]) == (2, 60, {})
    assert told["merged"][0].startswith("east@")
    assert main([*command, "--site", "yard"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["version"], told["places"], told["merged"]) == (1, 5, [])
