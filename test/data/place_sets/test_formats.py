"""Each format in a small faithful example: what is recognised and what is read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from netvlad_core.data.images import read_image
from netvlad_core.data.place_sets.msls import SUBTASK
from netvlad_core.data.place_sets.place_set import PlaceSet
from netvlad_core.data.place_sets.recognise import open_place_set, splits_of
from support.place_sets import (
    at_name,
    write_at_tree,
    write_gsv_cities,
    write_holidays,
    write_msls,
    write_oxford,
    write_picture,
    write_pitts,
    write_table,
    write_tokyo,
)


def check_all_images_are_there(places: PlaceSet) -> None:
    for images in (places.database, places.queries):
        assert images.folder.is_absolute()
        for row in range(len(images)):
            assert read_image(images.path(row)).shape == (24, 32, 3)


def lists(rows: Sequence[np.ndarray] | None) -> list[list[int]]:
    assert rows is not None
    return [row.tolist() for row in rows]


def test_pittsburgh(tmp_path: Path) -> None:
    path = write_pitts(tmp_path)
    for where in (path, tmp_path, path.parent):
        places = open_place_set(where)
        check_all_images_are_there(places)
        assert places.split == "test"
        assert "pitts30k_test.mat" in places.description
        assert places.threshold == 25.0
        assert not places.group_counts_once
        assert places.database.groups.tolist() == [f"{p:06d}" for p in range(3) for _ in range(2)]
        np.testing.assert_array_equal(places.queries.positions, [[1, 1], [5000, 0]])
        assert lists(places.positives()) == [[0, 1, 2, 3], []]
        assert lists(places.positives(within=10)) == [[0, 1], []]


def test_pittsburgh_with_several_splits(tmp_path: Path) -> None:
    write_pitts(tmp_path, "train")
    write_pitts(tmp_path, "val", first=50)
    assert sorted(splits_of(tmp_path)) == ["train", "val"]
    assert open_place_set(tmp_path, "val").database.names[0] == "000/000050_pitch1_yaw1.jpg"


def test_tokyo_247(tmp_path: Path) -> None:
    places = open_place_set(write_tokyo(tmp_path))
    check_all_images_are_there(places)
    assert "Tokyo 24/7" in places.description
    assert places.group_counts_once
    assert set(places.database.groups) == {"paNo-1", "pa_No2"}
    assert lists(places.positives()) == [list(range(12, 24))]


def test_msls(tmp_path: Path) -> None:
    write_msls(tmp_path, "cph")
    write_msls(tmp_path, "sf", first=30)
    write_msls(tmp_path, "london")
    assert splits_of(tmp_path) == ["train", "val"]
    places = open_place_set(tmp_path, "val")
    check_all_images_are_there(places)
    assert (len(places.database), len(places.queries)) == (6, 6)
    assert "2 panoramas left out" in places.description
    assert places.subsets[SUBTASK].tolist() == [True, True, False] * 2
    # Compass 0, 90, 180 degrees: north, east, south. Eastings of two cities do not compare.
    np.testing.assert_allclose(places.queries.headings[:3], [np.pi / 2, 0, -np.pi / 2], atol=1e-12)
    assert lists(places.positives()) == [[0], [1], [2], [3], [4], [5]]
    assert places.database.groups.tolist() == ["seqA"] * 6
    for where in (tmp_path / "train_val", tmp_path / "train_val" / "london"):
        assert "london/query/images/londonq0.jpg" in open_place_set(where, "train").queries.names
    assert len(open_place_set(tmp_path).queries) == 9


def test_gsv_cities(tmp_path: Path) -> None:
    write_gsv_cities(tmp_path)
    places = open_place_set(tmp_path)
    check_all_images_are_there(places)
    assert (len(places.database), len(places.queries)) == (8, 0)
    assert set(places.database.labels) == {"Bangkok/1", "Bangkok/2", "London/1", "London/2"}
    np.testing.assert_allclose(places.database.headings[:2], [np.pi / 2, np.pi / 4], atol=1e-12)
    steps = places.database.positions - places.database.positions[0]
    np.testing.assert_allclose(steps[2], [0, 1106], atol=2)  # 0.01 degrees of latitude
    assert steps[4, 0] > 1e5  # another city


def test_at_tree(tmp_path: Path) -> None:
    write_at_tree(tmp_path)
    assert splits_of(tmp_path) == ["train", "val", "test"]
    places = open_place_set(tmp_path, "val")
    check_all_images_are_there(places)
    assert lists(places.positives()) == [[0, 1, 2], []]
    np.testing.assert_allclose(places.queries.headings, [np.pi / 2, np.nan])
    assert lists(places.positives(heading=np.radians(89))) == [[], []]
    assert lists(places.positives(heading=np.radians(91))) == [[0, 1, 2], []]


def test_at_names_of_two_utm_zones_are_not_near_each_other(tmp_path: Path) -> None:
    write_picture(tmp_path / "database" / at_name(10, 0, zone="32", panorama="a"))
    write_picture(tmp_path / "database" / at_name(11, 0, zone="33", panorama="b"))
    write_picture(tmp_path / "queries" / at_name(10, 0, zone="33"))
    places = open_place_set(tmp_path)
    assert lists(places.positives()) == [[1]]
    assert places.database.groups.tolist() == ["a", "b"]
    (tmp_path / "places.csv").write_text(f"image,x,y\nqueries/{at_name(10, 0, zone='33')},10,0\n")
    of_unknown_zone = open_place_set(tmp_path / "database", queries=tmp_path / "places.csv")
    assert lists(of_unknown_zone.positives()) == [[]]


def test_two_catalogues(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        write_picture(tmp_path / name)
    (tmp_path / "database.csv").write_text("image,x,y,yaw,label\na.jpg,0,0,0,hall\nb.jpg,40,0,3.1,lab\n")
    (tmp_path / "queries.csv").write_text("image,x,y,yaw,label\nc.jpg,20,0,-3.1,lab\n")
    places = open_place_set(tmp_path)
    assert places.database.labels.tolist() == ["hall", "lab"]
    assert lists(places.positives()) == [[0, 1]]
    assert lists(places.positives(heading=0.1)) == [[1]]


@pytest.mark.parametrize("form", ["csv", "json", "nested json", "row numbers"])
def test_two_folders_with_a_list_of_what_is_correct(tmp_path: Path, form: str) -> None:
    for name in ("database/0.jpg", "database/10.jpg", "database/2.jpg", "queries/0.jpg", "queries/x.jpg"):
        write_picture(tmp_path / name)
    table: dict[str, list[object]] = {"0.jpg": ["10.jpg", "database/2.jpg"], "queries/x.jpg": []}
    if form == "csv":
        rows = [("0.jpg", "10.jpg"), ("queries/0.jpg", "2.jpg")]
        write_table(tmp_path / "ground_truth.csv", ["query", "database"], rows)
    elif form == "row numbers":
        (tmp_path / "ground_truth.json").write_text(json.dumps({"0": [1, 2], "1": []}))
    else:
        content = {"comment": "by eye", "positives": table} if form == "nested json" else table
        (tmp_path / "ground_truth.json").write_text(json.dumps(content))
    places = open_place_set(tmp_path)
    assert list(places.database.names) == ["0.jpg", "2.jpg", "10.jpg"]
    assert lists(places.positives()) == [[1, 2], []]
    kept = places.with_images(np.array([0, 2]), np.array([0]))
    assert lists(kept.positives()) == [[1]]


def test_two_drives_anywhere(tmp_path: Path) -> None:
    """A folder with "@" names against a catalogue; the same with a list that says otherwise."""
    write_picture(tmp_path / "spring" / at_name(0, 0))
    write_picture(tmp_path / "spring" / at_name(100, 0))
    write_picture(tmp_path / "autumn" / "q.jpg")
    (tmp_path / "autumn" / "places.csv").write_text("image,x,y\nq.jpg,99,0\n")
    (tmp_path / "truth.csv").write_text(f"query,database\nq.jpg,{at_name(0, 0)}\n")
    sources = tmp_path / "spring", None, tmp_path / "autumn" / "places.csv"
    assert lists(open_place_set(*sources).positives()) == [[1]]
    assert lists(open_place_set(*sources, tmp_path / "truth.csv").positives()) == [[0]]


def test_table_with_labels(tmp_path: Path) -> None:
    rows = [("a.jpg", "hall", "gallery"), ("b.jpg", "lab", "gallery"), ("c.jpg", "lab", "query")]
    for number, (name, _, _) in enumerate(rows):
        write_picture(tmp_path / name, number)
    write_table(tmp_path / "dataset.csv", ["image_path", "label", "split"], rows)
    for where in (tmp_path, tmp_path / "dataset.csv"):
        places = open_place_set(where)
        check_all_images_are_there(places)
        assert lists(places.positives()) == [[1]]


def test_oxford(tmp_path: Path) -> None:
    write_oxford(tmp_path)
    places = open_place_set(tmp_path)
    check_all_images_are_there(places)
    assert lists(places.correct) == [[0, 2, 4]]
    assert lists(places.ignored) == [[1]]
    assert places.queries.regions.tolist() == [[4, 2, 20, 20]]
    assert places.queries.names == ["tower_000000.jpg"]


def test_holidays(tmp_path: Path) -> None:
    write_holidays(tmp_path)
    places = open_place_set(tmp_path)
    check_all_images_are_there(places)
    assert list(places.queries.names) == ["100000.jpg", "100100.jpg"]
    assert lists(places.correct) == [[1, 2], [4]]
    assert lists(places.ignored) == [[0], [3]]


def test_real_corridor(shared_data: Path) -> None:
    places = open_place_set(shared_data / "vprbench_corridor")
    assert (len(places.database), len(places.queries)) == (111, 111)
    truth = json.loads((shared_data / "vprbench_corridor" / "ground_truth.json").read_text())
    assert lists(places.positives()) == [truth[str(row)] for row in range(111)]
