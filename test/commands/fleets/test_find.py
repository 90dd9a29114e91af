"""`netvlad fleet find` names the site of an image and of a drive."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netvlad_core.cli import main
from support.street import street, write_catalogue


def test_find(store: str, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drive = write_catalogue(tmp_path, street(seed=1, metres=80), range(71, 80, 2), gain=0.9)
    (tmp_path / "000.png").rename(tmp_path / "one.png")
    command = ["--store", store, "--weights", str(checkpoint), "--device", "cpu"]
    assert main(["fleet", "find", str(tmp_path / "one.png"), *command, "--top", "1"]) == 0
    place, share = capsys.readouterr().out.splitlines()
    name, site, map_id, *_, x, _, _, similarity = place.split()
    assert (name, site, map_id[:5]) == ("one.png", "street", "east@")
    assert float(x) == pytest.approx(71, abs=6)
    assert float(similarity) > 0.5
    assert share == "street: 100 % of 1 images"

    assert main(["fleet", "find", str(drive), *command, "--images", "3", "--json", "--quiet"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["sites"] == {"street": 1.0}
    found = [image["places"][0] for image in told["images"]]
    positions = [71 + 2 * int(image["image"][:3]) for image in told["images"]]
    assert len(found) >= 2
    assert [each["pose"][0] for each in found] == pytest.approx(positions, abs=6)
    assert main(["fleet", "find", str(tmp_path / "one.png"), "--store", store]) == 1
    assert "--weights" in capsys.readouterr().err
