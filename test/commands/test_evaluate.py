"""`netvlad evaluate`: judges what runs, says how, and counts nothing that tells nothing."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netvlad_core.cli import main
from netvlad_core.commands.output import MOSTLY_LEFT_OUT
from netvlad_core.mapping.place_map import PlaceMap
from support.street import street, write_catalogue

_FRONTS = street(seed=1, metres=80)


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    return write_catalogue(tmp_path / "drive", _FRONTS, range(1, 79, 2), gain=0.9)


def _evaluate(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main(["evaluate", *map(str, arguments), "--json", "--quiet"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def test_all_queries_with_a_pose_count(
    street_map: PlaceMap, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Six queries on the mapped street and four that stand where the map has nothing."""
    here = write_catalogue(tmp_path / "here", street(seed=1, metres=80), range(1, 79, 13))
    write_catalogue(tmp_path / "there", street(seed=9, metres=30), range(0, 20, 5), first_x=1000)
    rows = here.read_text().splitlines()
    far = (tmp_path / "there" / "catalogue.csv").read_text().splitlines()[1:]
    drive = tmp_path / "drive.csv"
    drive.write_text("\n".join([rows[0], *(f"here/{r}" for r in rows[1:]), *(f"there/{r}" for r in far)]))
    result = _evaluate(capsys, street_map.path, drive, "--single-image")
    assert (result["queries"], result["queries_without_positive"]) == (10, 4)
    np.testing.assert_allclose(result["recall"]["1"], 0.6)
    assert sum(result["states"].values()) == 10


def test_it_judges_the_answers_that_localize_gives(
    street_map: PlaceMap, drive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for mode, judged in ((), "drive"), (("--single-image",), "single images"):
        table = str(tmp_path / f"{judged}.csv")
        assert main(["localize", str(street_map.path), str(drive), "--quiet", "--output", table, *mode]) == 0
        capsys.readouterr()
        result = _evaluate(capsys, street_map.path, drive, *mode)
        with open(table) as file:
            rows = list(csv.DictReader(file))
        assert result["judged_as"] == judged
        assert result["settings"]["sequence_filter"] == (not mode)
        for state, count in result["states"].items():
            assert count == sum(row["state"] == state for row in rows)
        assert result["states"]["LOCALIZED"] > 20
        assert result["localized_at_a_correct_place"] == result["states"]["LOCALIZED"]


def test_errors_and_the_wait_for_the_first_pose_are_those_of_the_answers(
    street_map: PlaceMap, drive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "answers.csv"
    assert main(["localize", str(street_map.path), str(drive), "--quiet", "--output", str(table)]) == 0
    capsys.readouterr()
    result = _evaluate(capsys, street_map.path, drive)
    with table.open() as answers, drive.open() as truth:
        pairs = list(zip(csv.DictReader(answers), csv.DictReader(truth)))
    posed = [(answer, true) for answer, true in pairs if answer["x"]]
    errors = [np.hypot(float(a["x"]) - float(t["x"]), float(a["y"]) - float(t["y"])) for a, t in posed]
    found = [result[f"position_error_{name}_m"] for name in ("mean", "median", "99_percent", "largest")]
    expected = [np.mean(errors), np.median(errors), np.quantile(errors, 0.99), np.max(errors)]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    waited = float(posed[0][0]["stamp"]) - float(pairs[0][0]["stamp"])
    np.testing.assert_allclose(result["first_pose_after_s"], waited)
    assert waited > 0
    assert main(["evaluate", str(street_map.path), str(drive), "--quiet"]) == 0
    assert f"images with a pose: {100 * len(posed) / 39:.1f} %, the first after {waited:.1f} s" in (
        capsys.readouterr().out
    )


def test_a_parameter_file_changes_the_answers_and_the_command_line_wins(
    street_map: PlaceMap, drive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = tmp_path / "campus.yaml"
    params.write_text(
        "/**:\n  ros__parameters: {sequence_filter: false, min_similarity: 1.0, map: of_the_node, top_k: 5}\n"
    )
    alone = _evaluate(capsys, street_map.path, drive, "--single-image", "--threshold", "5")
    result = _evaluate(capsys, street_map.path, drive, "--params", params, "--threshold", "5")
    assert result["states"] == {"LOST": 39, "AMBIGUOUS": 0, "LOCALIZED": 0}
    assert result["recall"] == alone["recall"]  # top_k bounds what is reported, not what is measured
    assert list(result["recall"]) == ["1", "5", "10", "20"]
    assert (result["settings"]["min_similarity"], result["settings"]["top_k"]) == (1.0, 5)
    result = _evaluate(capsys, street_map.path, drive, "--params", params, "--min-similarity", "-1")
    assert result["states"]["LOST"] == 0
    params.write_text("localizer:\n  ros__parameters: {sequence: {sharpness: 0.0}}\n")
    result = _evaluate(capsys, street_map.path, drive, "--params", params)
    assert result["states"]["LOCALIZED"] == 0  # no evidence, no belief


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/**:\n  ros__parameters: {min_beleif: 0.5}\n", "did you mean min_belief?"),
        (
            "/**:\n  ros__parameters: {min_belief: 7.0}\n",
            "min_belief is 7.0; expected a number from 0.05 to 1.0",
        ),
        ("min_belief: 0.7\n", "is no parameter file for localizer"),
    ],
)
def test_a_wrong_parameter_file_is_one_sentence(
    street_map: PlaceMap,
    drive: Path,
    tmp_path: Path,
    text: str,
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    params = tmp_path / "p.yaml"
    params.write_text(text)
    assert main(["evaluate", str(street_map.path), str(drive), "--params", str(params)]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert words in err
    assert main(["evaluate", str(street_map.path), str(drive), "--params", "nowhere.yaml"]) == 1
    assert capsys.readouterr().err == "netvlad evaluate: nowhere.yaml: No such file or directory\n"


def test_the_text_says_how_it_was_judged(
    street_map: PlaceMap, drive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(street_map.path), str(drive), "--quiet", "--threshold", "5"]) == 0
    text = capsys.readouterr().out
    assert "39 queries, judged as a drive, whose poses serve as odometry; correct within 5 m" in text
    assert "Recall@1   100.0 %" in text
    assert main(["evaluate", str(street_map.path), str(drive), "--quiet", "--single-image"]) == 0
    assert "39 queries, each judged by itself; correct within 25 m" in capsys.readouterr().out


def test_queries_for_which_every_place_is_correct_count_for_nothing(
    street_map: PlaceMap, drive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The map is 78 m long: within 45 m of its middle third lies all of it."""
    arguments = ["evaluate", str(street_map.path), str(drive), "--quiet", "--threshold"]
    assert main([*arguments, "45"]) == 0
    text = capsys.readouterr().out
    assert "32 queries, " in text
    assert "left out: 7 image for which every place of the map is correct" in text
    assert main([*arguments, "100"]) == MOSTLY_LEFT_OUT
    out, err = capsys.readouterr()
    assert "Recall@1       -" in out
    assert "39 of 39 images were left out: 39 image for which every place of the map is correct" in err


def test_a_map_whose_images_are_too_small_for_geometry_is_named(
    street_map: PlaceMap, drive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else a user waits for the features and gets the poses of the map, as without them."""
    assert street_map.header.store_images == "thumbnail"
    one = write_catalogue(tmp_path / "one", _FRONTS, range(1, 2))
    main(["evaluate", str(street_map.path), str(one), "--quiet", "--verify"])
    assert "warning: verification compares with thumbnail images" in capsys.readouterr().err
    main(["evaluate", str(street_map.path), str(one), "--quiet"])
    assert "verification" not in capsys.readouterr().err
