"""A network evaluated on collections of places: who counts, what is correct, what is written down."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from netvlad_core.cli import main
from netvlad_core.commands.common import MOSTLY_LEFT_OUT
from netvlad_core.data.images import read_image
from netvlad_core.data.place_sets.msls import SUBTASK
from netvlad_core.data.place_sets.place_set import PlaceImages, PlaceSet
from netvlad_core.data.place_sets.recognise import open_place_set
from netvlad_core.errors import SourceError
from netvlad_core.evaluation.failures import draw_failure, worst_failures
from netvlad_core.evaluation.place_recognition import SetResult, evaluate_place_set
from netvlad_core.model.extractor import Extractor
from support.place_sets import at_name, write_msls
from support.street import street, view

FRONTS = street(seed=1, metres=80)
METRES = tuple(range(0, 80, 8))


def write_view(path: Path, x: float, fronts: np.ndarray = FRONTS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), view(fronts, x)[..., ::-1])


@pytest.fixture
def town(tmp_path: Path) -> Path:
    """A street every 8 m; queries at 1 and 33 m, one that lies about where it is, and one off the map."""
    for x in METRES:
        write_view(tmp_path / "database" / at_name(x, 0), x)
    write_view(tmp_path / "queries" / at_name(1, 0), 1)
    write_view(tmp_path / "queries" / at_name(33, 0), 33)
    write_view(tmp_path / "queries" / at_name(70, 0), 17)
    write_view(tmp_path / "queries" / at_name(900, 0), 10, street(seed=9, metres=30))
    return tmp_path


def plain_set(folder: Path, **columns: object) -> PlaceSet:
    """The street without positions; the query is at 33 m."""
    for x in METRES:
        write_view(folder / "database" / f"{x:02d}.png", x)
    write_view(folder / "queries" / "33.png", 33)
    database = PlaceImages(
        folder / "database", [f"{x:02d}.png" for x in METRES], groups=columns.pop("groups", None)
    )
    return PlaceSet("street", "", database, PlaceImages(folder / "queries", ["33.png"]), **columns)


def test_all_queries_are_the_denominator(
    town: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, mistakes = tmp_path / "matches.csv", tmp_path / "mistakes"
    arguments = ["evaluate-set", str(town), "--weights", str(checkpoint), "--threshold", "5", "--quiet"]
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


def test_broken_images_are_left_out_and_named(town: Path, extractor: Extractor) -> None:
    broken = [town / "database" / at_name(32, 0), town / "queries" / at_name(1, 0)]
    for path in broken:
        path.write_bytes(b"\xff\xd8 cut off")
    result = evaluate_place_set(open_place_set(town), extractor, within=5)
    assert set(result.left_out) == {str(path) for path in broken}
    assert (len(result.places.database), len(result.places.queries)) == (9, 3)
    assert result.recall.has_positive.tolist() == [False, True, False]  # the place at 33 m has lost its image
    assert result.places.database.names[result.ranked[1][0]] == at_name(16, 0)


def test_a_panorama_counts_once(tmp_path: Path, extractor: Extractor) -> None:
    """The query looks like the images at 32 and 40 m; the correct one is of another panorama."""
    groups = np.array(["a", "b", "c", "d", "near", "near", "near", "e", "f", "g"])
    truth = [np.array([7])]
    alone = evaluate_place_set(plain_set(tmp_path, groups=groups, correct=truth), extractor)
    once = evaluate_place_set(
        plain_set(tmp_path, groups=groups, correct=truth, group_counts_once=True), extractor
    )
    assert alone.ranked[0][0] == once.ranked[0][0] == 4
    assert groups[once.ranked[0]].tolist().count("near") == 1
    assert len(once.ranked[0]) == 8
    assert once.recall.first_correct[0] == alone.recall.first_correct[0] - sum(
        groups[row] == "near" for row in alone.ranked[0][1 : int(alone.recall.first_correct[0])]
    )


def test_junk_has_no_rank(tmp_path: Path, extractor: Extractor) -> None:
    clean = evaluate_place_set(plain_set(tmp_path, correct=[np.array([3])]), extractor)
    best = clean.ranked[0][:2]
    places = plain_set(tmp_path, correct=[best[1:]], ignored=[best[:1]])
    result = evaluate_place_set(places, extractor)
    assert result.ranked[0].tolist() == clean.ranked[0][1:].tolist()
    assert result.mean_average_precision() == 1.0


def test_regions_are_cut_out(tmp_path: Path, extractor: Extractor) -> None:
    """A query whose region is the image at 33 m, beside a view of the other end of the street."""
    places = plain_set(tmp_path, correct=[np.array([4])])
    both = np.concatenate([view(FRONTS, 79), view(FRONTS, 32)], axis=1)
    cv2.imwrite(str(tmp_path / "queries" / "33.png"), both[..., ::-1])
    region = PlaceImages(tmp_path / "queries", ["33.png"], regions=np.array([[160, 0, 320, 120]]))
    result = evaluate_place_set(PlaceSet("", "", places.database, region, correct=places.correct), extractor)
    assert result.ranked[0][0] == 4
    np.testing.assert_allclose(result.similarities[0][0], 1.0, atol=1e-5)


def test_both_query_sets_of_msls(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three queries at 2, 32 and 62 m, of which the last is not of the subtask and the second shows 0 m."""
    write_msls(tmp_path)
    images = tmp_path / "train_val" / "cph"
    for number, x in enumerate((0, 30, 60)):
        write_view(images / "database" / "images" / f"cphd{number}.jpg", x)
        write_view(images / "query" / "images" / f"cphq{number}.jpg", 0 if number == 1 else x + 2)
    arguments = ["evaluate-set", str(tmp_path), "--weights", str(checkpoint), "--json", "--quiet"]
    assert main(arguments) == 0
    recall = json.loads(capsys.readouterr().out)["recall"]
    assert recall["all queries"]["queries"] == 3
    assert recall["all queries"]["1"] == pytest.approx(2 / 3)
    assert (recall[SUBTASK]["queries"], recall[SUBTASK]["1"]) == (2, 0.5)


def test_worst_failures_are_the_surest_mistakes(tmp_path: Path) -> None:
    images = PlaceImages(tmp_path, ["0.png", "1.png", "2.png", "3.png"])
    one, two, none = np.array([1]), np.array([2]), np.empty(0, np.int64)
    ranked = [np.array([0, 1]), np.array([2, 1]), np.array([0, 1]), np.array([0, 1])]
    similarities = [np.array([s, 0.1]) for s in (0.5, 0.9, 0.7, 0.8)]
    result = SetResult(PlaceSet("", "", images, images), {}, ranked, similarities, [one, two, one, none])
    assert worst_failures(result, 5) == [2, 0]
    assert worst_failures(result, 1) == [2]
    for number in range(4):
        write_view(tmp_path / f"{number}.png", number)
    draw_failure(result, 2, tmp_path / "mistake.png")
    assert read_image(tmp_path / "mistake.png").std() > 20


def test_one_image_and_one_query(tmp_path: Path, extractor: Extractor) -> None:
    whole = plain_set(tmp_path, correct=[np.array([4])])
    result = evaluate_place_set(whole.with_images(np.array([4]), np.array([0])), extractor)
    assert result.recall.at(among=result.recall.has_positive) == {1: 1.0, 5: 1.0, 10: 1.0, 20: 1.0}
    result = evaluate_place_set(whole.with_images(np.array([3]), np.array([0])), extractor)
    assert result.recall.at(among=np.array([True]))[20] == 0.0
    assert worst_failures(result, 5) == []


def test_what_cannot_be_evaluated(tmp_path: Path, extractor: Extractor) -> None:
    places = plain_set(tmp_path)
    with pytest.raises(SourceError, match="neither positions nor labels nor a ground-truth file"):
        evaluate_place_set(places, extractor)
    with pytest.raises(SourceError, match="has no queries"):
        evaluate_place_set(places.with_images(np.arange(10), np.arange(0)), extractor)
    (tmp_path / "queries" / "33.png").unlink()
    with pytest.raises(
        SourceError, match=r"no image of street can be read, e\.g\. cannot read the image .*33"
    ):
        evaluate_place_set(replace(places, correct=[np.array([0])]), extractor)


def test_a_collection_that_is_mostly_unreadable_has_a_status_of_its_own(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for side, numbers in (("database", range(8)), ("queries", range(2))):
        (tmp_path / side).mkdir()
        for number in numbers:
            write_view(tmp_path / side / f"@{500000 + 9 * number}@{4000000}@.png", number)
    arguments = ["evaluate-set", str(tmp_path / "database"), "--queries", str(tmp_path / "queries")]
    arguments += ["--weights", str(checkpoint), "--device", "cpu", "--quiet"]
    assert main(arguments) == 0
    for path in sorted((tmp_path / "database").iterdir())[2:]:
        path.write_bytes(b"\x89PNG")
    assert main(arguments) == MOSTLY_LEFT_OUT
    assert "warning: 6 of 10 images were left out" in capsys.readouterr().err
