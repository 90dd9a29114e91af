"""`netvlad report`: the same answers as `evaluate`, in one file that replaces no stranger's."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from netvlad_core.cli import main
from netvlad_core.mapping.place_map import PlaceMap
from support.street import street, write_catalogue


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    return write_catalogue(tmp_path / "drive", street(seed=1, metres=80), range(1, 79, 3), gain=0.9)


def _report(*arguments: object) -> int:
    return main(["report", *map(str, arguments), "--quiet"])


def _data(page: Path) -> dict[str, Any]:
    found = re.search(r'id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    return dict(json.loads(found[1]))


def test_figures_are_those_of_evaluate(
    street_map: PlaceMap, drive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "new" / "report.html"
    assert _report(street_map.path, "--queries", drive, "--threshold", 5, "--output", page) == 0
    assert f"{page}: 26 queries, " in capsys.readouterr().out
    assert main(["evaluate", str(street_map.path), str(drive), "--threshold", "5", "--quiet", "--json"]) == 0
    expected, found = json.loads(capsys.readouterr().out), _data(page)
    queries = found["queries"]
    assert queries["states"] == expected["states"]
    assert [round(queries["recall"][n - 1], 6) for n in (1, 5, 10, 20)] == [
        round(share, 6) for share in expected["recall"].values()
    ]
    assert queries["error"]["median"] == pytest.approx(expected["position_error_median_m"], abs=0.01)
    assert found["settings"] == expected["settings"]
    assert found["map"]["header"]["model_id"] == expected["model_id"]
    assert _report(street_map.path, "--output", page) == 0  # an earlier report is replaced
    assert "queries" not in _data(page)


def test_a_strangers_page_stays(
    street_map: PlaceMap, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "index.html"
    page.write_text("<!doctype html><title>mine</title>")
    assert _report(street_map.path, "--output", page) == 1
    assert "no earlier run has written it" in capsys.readouterr().err
    assert "mine" in page.read_text()


def test_options_of_queries_need_queries(
    street_map: PlaceMap, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "report.html"
    assert _report(street_map.path, "--verify", "--no-truth", "--output", page) == 1
    assert "without --queries --verify and --no-truth would have no effect" in capsys.readouterr().err
    assert not page.exists()


def test_pictures_keep_to_their_megabytes(street_map: PlaceMap, drive: Path, tmp_path: Path) -> None:
    sizes = {}
    for megabytes in ("0", "0.05", "1"):
        page = tmp_path / f"{megabytes}.html"
        options = ["--queries", drive, "--pictures", megabytes, "--no-truth", "--output", page]
        assert _report(street_map.path, *options) == 0
        sizes[megabytes] = page.stat().st_size
    assert sizes["0"] < sizes["0.05"] < sizes["0"] + 51_000
    assert sizes["0.05"] < sizes["1"] < sizes["0"] + 1_001_000
