"""`netvlad evaluate-set`: what is counted, the table and pictures beside it, and its status."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from netvlad_core.cli import main
from netvlad_core.commands.output import MOSTLY_LEFT_OUT
from netvlad_core.data.images import read_image
from netvlad_core.data.place_sets.msls import SUBTASK
from support.place_sets import at_name, write_msls, write_street_set
from support.street import street, write_view

FRONTS = street(seed=1, metres=80)


def test_all_queries_are_the_denominator(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_street_set(tmp_path)
    table, mistakes = tmp_path / "matches.csv", tmp_path / "mistakes"
    arguments = ["evaluate-set", str(tmp_path), "--weights", str(checkpoint), "--threshold", "5", "--quiet"]
    assert main([*arguments, "--json", "--csv", str(table), "--failures", str(mistakes)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["places"], found["queries"], found["queries_without_positive"]) == (10, 4, 1)
    assert found["recall"]["all queries"]["1"] == 0.5
    assert found["recall"]["all queries"]["queries"] == 4
    reachable = found["recall"]["all queries with a correct place"]
    assert (reachable["queries"], reachable["1"]) == (3, pytest.approx(2 / 3))
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "correct is what is within 5 m" in text
    assert "1 queries have no correct place in the database; they count as failed" in text

    with table.open() as file:
        rows = list(csv.DictReader(file))
    first = [row for row in rows if row["rank"] == "1"]
    assert len(rows) == 20
    assert [row["correct"] for row in first] == ["1", "1", "0", "0"]
    assert first[1]["match"] == at_name(32, 0)
    assert float(first[1]["distance_m"]) == 1.0
    assert float(first[2]["distance_m"]) == 54.0
    (picture,) = mistakes.iterdir()
    assert read_image(picture).shape[1] > 1000


def test_both_query_sets_of_msls(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three queries at 2, 32 and 62 m, of which the last is not of the subtask and the second shows 0 m."""
    write_msls(tmp_path)
    images = tmp_path / "train_val" / "cph"
    for number, x in enumerate((0, 30, 60)):
        write_view(images / "database" / "images" / f"cphd{number}.jpg", FRONTS, x)
        write_view(images / "query" / "images" / f"cphq{number}.jpg", FRONTS, 0 if number == 1 else x + 2)
    arguments = ["evaluate-set", str(tmp_path), "--weights", str(checkpoint), "--json", "--quiet"]
    assert main(arguments) == 0
    recall = json.loads(capsys.readouterr().out)["recall"]
    assert recall["all queries"]["queries"] == 3
    assert recall["all queries"]["1"] == pytest.approx(2 / 3)
    assert (recall[SUBTASK]["queries"], recall[SUBTASK]["1"]) == (2, 0.5)


def test_a_collection_that_is_mostly_unreadable_has_a_status_of_its_own(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for side, numbers in (("database", range(8)), ("queries", range(2))):
        (tmp_path / side).mkdir()
        for number in numbers:
            write_view(tmp_path / side / f"@{500000 + 9 * number}@{4000000}@.png", FRONTS, number)
    arguments = ["evaluate-set", str(tmp_path / "database"), "--queries", str(tmp_path / "queries")]
    arguments += ["--weights", str(checkpoint), "--device", "cpu", "--quiet"]
    assert main(arguments) == 0
    for path in sorted((tmp_path / "database").iterdir())[2:]:
        path.write_bytes(b"\x89PNG")
    assert main(arguments) == MOSTLY_LEFT_OUT
    assert "warning: 6 of 10 images were left out" in capsys.readouterr().err


def test_table_has_a_line_for_each_network_on_each_set(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_street_set(tmp_path / "street")
    write_msls(tmp_path / "msls")
    images = tmp_path / "msls" / "train_val" / "cph"
    for number, x in enumerate((0, 30, 60)):
        write_view(images / "database" / "images" / f"cphd{number}.jpg", FRONTS, x)
        write_view(images / "query" / "images" / f"cphq{number}.jpg", FRONTS, 0 if number == 1 else x + 2)
    both = ["evaluate-set", str(tmp_path / "street"), str(tmp_path / "msls"), "--quiet", "--weights"]
    both += [str(checkpoint), "packaged", "--device", "cpu"]
    assert main([*both, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [values["set"] for values in found] == ["street", "MSLS cph"] * 2
    assert [values["dimension"] for values in found[2:]] == [7168, 7168]
    alone = [*both[:2], "--quiet", "--json", "--weights", str(checkpoint), "--device", "cpu"]
    assert main(alone) == 0
    assert json.loads(capsys.readouterr().out) == found[0]
    assert main([*both, "--protocol", "msls-740"]) == 1
    assert "names one for each PATH; found 1 for 2" in capsys.readouterr().err
    assert main([*both, "--csv", str(tmp_path / "a.csv")]) == 1
    assert "are for one network on one set" in capsys.readouterr().err


def test_protocol_says_what_counts(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_msls(tmp_path)
    images = tmp_path / "train_val" / "cph"
    for number, x in enumerate((0, 30, 60)):
        write_view(images / "database" / "images" / f"cphd{number}.jpg", FRONTS, x)
        write_view(images / "query" / "images" / f"cphq{number}.jpg", FRONTS, 0 if number == 1 else x + 2)
    arguments = ["evaluate-set", str(tmp_path), "--protocol", "msls-740", "--quiet", "--device", "cpu"]
    weights = ["--weights", str(checkpoint), str(checkpoint)]
    assert main([*arguments, *weights]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [cell.strip() for cell in lines[0].split("|")[1:-1]] == [
        *("set", "queries", "method", "backbone", "dimension", "R@1", "R@5", "R@10", "R@20")
    ]
    assert lines[2] == lines[3]
    assert [cell.strip() for cell in lines[2].split("|")[1:4]] == ["msls-740", "2", "netvlad"]
    assert lines[2].split("|")[6].strip() == "50.0"
    assert lines[4] == "MSLS cph: 2 queries count here, and 740 in the published set"
    assert main([*arguments, "--threshold", "5"]) == 1
    assert "a protocol says what counts; without it take --threshold" in capsys.readouterr().err
