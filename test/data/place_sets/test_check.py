"""`netvlad dataset check`: what is found in collections with known faults."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from netvlad_core.cli import main
from support.place_sets import (
    at_name,
    write_at_tree,
    write_gsv_cities,
    write_msls,
    write_picture,
    write_pitts,
)


def check(capsys: pytest.CaptureFixture[str], path: Path, *options: str) -> dict:
    assert main(["dataset", "check", str(path), "--json", "--quiet", *options]) == 0
    return json.loads(capsys.readouterr().out)


def report(capsys: pytest.CaptureFixture[str], path: Path, *options: str) -> str:
    assert main(["dataset", "check", str(path), "--quiet", *options]) == 0
    return capsys.readouterr().out


def test_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_at_tree(tmp_path, ["val"])
    (found,) = check(capsys, tmp_path, "--positive", "15")["sets"]
    assert found["images"] == {"database": 4, "queries": 2}
    assert found["sizes"] == {"32 x 24": 6}
    assert found["extent"] == [500, 0]
    assert found["headings"] == 5
    # The first query stands at 1 m, the images at 0, 12, 24, 36 m; the second one far away.
    assert found["positives"] == {"least": 0, "median": 1, "most": 2}
    assert found["negatives"] == {"least": 1, "median": 2.5, "most": 4}
    assert [Path(path).name for path in found["unreachable"]] == [at_name(500.0, 0)]
    (found,) = check(capsys, tmp_path, "--positive", "15", "--heading", "45")["sets"]
    assert found["positives"]["most"] == 0


def test_missing_and_broken_files_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_pitts(tmp_path)
    images = tmp_path / "images" / "000"
    whole = (images / "000000_pitch1_yaw1.jpg").read_bytes()
    (images / "000000_pitch1_yaw1.jpg").write_bytes(whole[:-40])
    (images / "000000_pitch1_yaw2.jpg").write_bytes(b"")
    (images / "000001_pitch1_yaw1.jpg").write_bytes(b"no picture at all")
    (images / "000001_pitch1_yaw2.jpg").unlink()
    (found,) = check(capsys, path)["sets"]
    assert [Path(file).name for file in found["missing"]] == ["000001_pitch1_yaw2.jpg"]
    reasons = {Path(file).name: reason for file, reason in found["broken"].items()}
    assert "cut off" in reasons["000000_pitch1_yaw1.jpg"]
    assert "empty" in reasons["000000_pitch1_yaw2.jpg"]
    assert "no picture" in reasons["000001_pitch1_yaw1.jpg"]
    assert found["sizes"] == {"32 x 24": 4}
    text = report(capsys, path)
    assert "missing      1 of 8 images" in text
    assert "000/000001_pitch1_yaw2.jpg" in text
    assert max(map(len, text.splitlines())) <= 80


def test_duplicates_between_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_at_tree(tmp_path, ["train", "test"])
    clean = check(capsys, tmp_path)
    assert [(o["same_content"], o["same_position"]) for o in clean["overlaps"]] == [([], [])]
    train, test = tmp_path / "images" / "train", tmp_path / "images" / "test"
    shutil.copy(train / "database" / at_name(0.0, 0, "90"), test / "queries" / at_name(77_000, 0))
    write_picture(test / "database" / at_name(12.6, 0.7), 70)
    shutil.copy(test / "database" / at_name(12.6, 0.7), test / "queries" / at_name(90_000, 0))
    found = check(capsys, tmp_path)
    (overlap,) = found["overlaps"]
    names = [[Path(path).name for path in pair] for pair in overlap["same_content"]]
    assert names == [[at_name(0.0, 0, "90"), at_name(77_000, 0)]]
    names = [[Path(path).name for path in pair] for pair in overlap["same_position"]]
    assert names == [[at_name(12.0, 0, "90"), at_name(12.6, 0.7)]]
    inside = found["sets"][1]["database_among_queries"]
    assert [[Path(path).name for path in pair] for pair in inside] == [
        [at_name(90_000, 0), at_name(12.6, 0.7)]
    ]
    text = report(capsys, tmp_path)
    assert "train and test" in text
    assert "1 of 4 queries, equal to files of the database" in text


def test_labels_and_subsets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_gsv_cities(tmp_path / "gsv")
    (found,) = check(capsys, tmp_path / "gsv")["sets"]
    assert found["labels"] == {"least": 2, "median": 2, "most": 2}
    assert found["positives"] is None
    assert "of several cities" in report(capsys, tmp_path / "gsv")
    write_msls(tmp_path / "msls", "sf")
    text = report(capsys, tmp_path / "msls", "--split", "val")
    assert "2 of the queries: subtask all" in text


def test_unknown_positives_and_headings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, side in enumerate(("database", "queries")):
        write_picture(tmp_path / side / "0.jpg", number)
    assert "unknown: neither positions nor labels" in report(capsys, tmp_path)
    (tmp_path / "truth.json").write_text('{"0.jpg": ["0.jpg"]}')
    named = ["--queries", str(tmp_path / "queries"), "--ground-truth", str(tmp_path / "truth.json")]
    (found,) = check(capsys, tmp_path / "database", *named)["sets"]
    assert found["positives"] == {"least": 1, "median": 1, "most": 1}
    path = write_pitts(tmp_path / "pitts")
    assert main(["dataset", "check", str(path), "--heading", "90", "--quiet"]) == 1
    assert "pitts30k_test has no headings" in capsys.readouterr().err
