"""`netvlad fleet sites` has a line for each site."""

from __future__ import annotations

import json

import pytest

from netvlad_core.cli import main


def test_sites(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet", "sites", "--store", store]) == 0
    street, yard = capsys.readouterr().out.splitlines()
    assert street.startswith("street: version 1, 30 places, ")
    assert street.endswith("1 waiting, 2 robots")
    assert yard.endswith("0 waiting, 1 robot")
    assert main(["fleet", "sites", "--store", store, "--json"]) == 0
    assert [site["robots"] for site in json.loads(capsys.readouterr().out)] == [
        ["robot east", "robot west"],
        ["robot yard"],
    ]
