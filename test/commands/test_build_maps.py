"""`netvlad build-maps` says which maps it made, and which drives have none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from netvlad_core.cli import main
from netvlad_core.fleet.build_maps import Built


@pytest.mark.parametrize("failures", [{}, {"tuesday": "it does not exist"}], ids=["whole", "a failure"])
def test_what_was_built_is_said(
    failures: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []

    def build_maps(*arguments: Any) -> Built:
        asked.extend(arguments)
        return Built({"monday": 3, "friday": 4}, ["monday"], failures, {"friday": "other streets"}, 3)

    monkeypatch.setattr("netvlad_core.fleet.build_maps.build_maps", build_maps)
    command = ["build-maps", "drives/monday", "drives/friday.mcap", "--output", "maps", "--pose-topic", "/o"]
    assert main([*command, "--ray", "head:6379", "--no-merge"]) == (1 if failures else 0)
    drives, output, options, address, workers, merges, same_frame, _ = asked
    assert [(drive.name, drive.options.pose_topic) for drive in drives] == [
        ("monday", "/o"),
        ("friday", "/o"),
    ]
    assert (output, address, workers, merges, same_frame) == (Path("maps"), "head:6379", None, False, False)
    assert options.store_images == "thumbnail"
    said = capsys.readouterr()
    assert (
        "maps/monday: 3 places\nmaps/friday: 4 places, as before\nmaps/merged: 3 places of 1 drives"
        in said.out
    )
    assert "not merged: friday: other streets" in said.err
    assert ("no map: tuesday" in said.err) == bool(failures)
    main([*command, "--json"])
    assert json.loads(capsys.readouterr().out)["maps"] == {"monday": 3, "friday": 4}
