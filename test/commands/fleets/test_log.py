"""`netvlad fleet log` tells versions from maps that wait."""

from __future__ import annotations

import json

import pytest

from netvlad_core.cli import main


def test_log(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet", "log", "--store", store, "--site", "street"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("version 1 ")
    assert "robot west  west@" in first
    assert second.startswith("waits ")
    assert main(["fleet", "log", "--store", store, "--site", "street", "--json"]) == 0
    assert [entry["places"] for entry in json.loads(capsys.readouterr().out)] == [30, 30]
