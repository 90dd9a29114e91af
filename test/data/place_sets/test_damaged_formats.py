"""Collections that are wrong somewhere: a sentence says where."""

from __future__ import annotations

import struct as struct_of_bytes
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from netvlad_core.data.place_sets.recognise import open_place_set
from netvlad_core.errors import SourceError
from support.place_sets import (
    cells,
    pitts_struct,
    write_at_tree,
    write_gsv_cities,
    write_holidays,
    write_msls,
    write_oxford,
    write_picture,
    write_pitts,
)


def replace_in(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def struct(**changes: object) -> dict[str, object]:
    return pitts_struct(["a.jpg", "b.jpg"], [(0, 0), (5, 0)], ["q.jpg"], [(1, 1)]) | changes


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"other": 1.0}, "holds no structure dbStruct; found other"),
        ({"dbStruct": np.eye(2)}, "holds no structure dbStruct"),
        (
            {"dbStruct": {"whichSet": "test", "files": cells(["a.jpg"])}},
            "lacks utmDb; .* found whichSet, files",
        ),
        ({"dbStruct": struct(utmDb=np.zeros((2, 3)))}, r"shape \(2, 3\); expected \(2, 2\)"),
        ({"dbStruct": struct(utmQ=np.array([[np.nan], [1.0]]))}, r"position of .*q.jpg is \[nan  1\.\]"),
        ({"dbStruct": struct(utmQ="here")}, "query positions of .* are no numbers"),
        (
            {"dbStruct": struct(dbImageFns=np.arange(2.0))},
            "database images of .* no cell array of file names",
        ),
        ({"dbStruct": struct(posDistThr=-1.0)}, "posDistThr of .* is .*-1.0.*; expected metres above 0"),
        (
            {"dbStruct": struct(qImageFns=cells(["gone.jpg"]))},
            "query images .* e.g. gone.jpg, are in none of",
        ),
    ],
)
def test_wrong_structures(tmp_path: Path, content: dict[str, object], found: str) -> None:
    for name in ("a.jpg", "b.jpg", "q.jpg"):
        write_picture(tmp_path / name)
    savemat(tmp_path / "x.mat", content)
    with pytest.raises(SourceError, match=found):
        open_place_set(tmp_path / "x.mat")


def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    path = write_pitts(tmp_path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(SourceError, match=r"pitts30k_test\.mat is no readable MATLAB file"):
        open_place_set(path)


def test_a_file_that_claims_memory_is_refused_unread(tmp_path: Path) -> None:
    path, packed = tmp_path / "x.mat", zlib.compress(bytes(1 << 28))
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    path.write_bytes(header + struct_of_bytes.pack("<II", 15, len(packed)) + packed)
    with pytest.raises(SourceError, match="grows beyond what such a file can hold"):
        open_place_set(path)
    savemat(path, {"dbStruct": struct()})
    shape = struct_of_bytes.pack("<ii", 2, 2)  # of utmDb
    path.write_bytes(path.read_bytes().replace(shape, struct_of_bytes.pack("<ii", 1 << 15, 1 << 15)))
    with pytest.raises(SourceError, match="an array declares 1073741824 entries and has 32 bytes"):
        open_place_set(path)


def _table(side: str, name: str) -> Callable[[Path], Path]:
    return lambda folder: folder / "train_val" / "cph" / side / f"{name}.csv"


@pytest.mark.parametrize(
    ("table", "old", "new", "found"),
    [
        (
            _table("query", "postprocessed"),
            "easting",
            "east",
            r"query/postprocessed.csv lacks the column easting",
        ),
        (
            _table("query", "postprocessed"),
            "32.0",
            "nan",
            "line 3: easting is 'nan', expected a finite number",
        ),
        (_table("query", "raw"), "pano", "panorama", "lacks the column pano"),
        (_table("query", "raw"), "False", "perhaps", "line 2: pano is 'perhaps', expected True or False"),
        (_table("query", "raw"), "cphq1", "cphq9", "must be the same in the same order"),
        (_table("query", "raw"), "2019-01-01,False", "2019-01-01", "line 2: expected 7 fields, found 6"),
    ],
)
def test_wrong_msls_tables(
    tmp_path: Path, table: Callable[[Path], Path], old: str, new: str, found: str
) -> None:
    write_msls(tmp_path)
    replace_in(table(tmp_path), old, new)
    with pytest.raises(SourceError, match=found):
        open_place_set(tmp_path)


def test_test_cities_have_no_positions(tmp_path: Path) -> None:
    for side in ("query", "database"):
        (tmp_path / "test" / "miami" / side).mkdir(parents=True)
        (tmp_path / "test" / "miami" / side / "subtask_index.csv").write_text(",key,all\n0,a,True\n")
    with pytest.raises(SourceError, match="No positions of the test cities are published"):
        open_place_set(tmp_path)
    write_msls(tmp_path, "london")
    with pytest.raises(SourceError, match="no city of the split 'val'; cities: london"):
        open_place_set(tmp_path, "val")


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("northdeg", "bearing", "lacks the column northdeg"),
        ("13.710", "", "line 2: lat is '', expected a finite number"),
        ("2015", "2016", r"none of the 4 images of .*Bangkok\.csv exists, e\.g\. .*_2016_07_"),
    ],
)
def test_wrong_gsv_tables(tmp_path: Path, old: str, new: str, found: str) -> None:
    write_gsv_cities(tmp_path)
    replace_in(tmp_path / "Dataframes" / "Bangkok.csv", old, new)
    with pytest.raises(SourceError, match=found):
        open_place_set(tmp_path)


def test_splits_that_are_not_there_or_not_named(tmp_path: Path) -> None:
    write_at_tree(tmp_path / "tree", ["train", "val"])
    with pytest.raises(SourceError, match="has the splits train, val: name one"):
        open_place_set(tmp_path / "tree")
    with pytest.raises(SourceError, match="so there is no split 'val' to choose"):
        open_place_set(tmp_path / "tree", "val", queries=tmp_path / "queries")
    with pytest.raises(SourceError, match="a ground truth goes with queries"):
        open_place_set(tmp_path / "tree", "val", ground_truth=tmp_path / "truth.csv")
    with pytest.raises(SourceError, match="no split 'test'; it has train, val"):
        open_place_set(tmp_path / "tree", "test")
    write_pitts(tmp_path / "pitts")
    with pytest.raises(SourceError, match="no split 'train'; it has test"):
        open_place_set(tmp_path / "pitts", "train")
    write_gsv_cities(tmp_path / "gsv")
    with pytest.raises(SourceError, match="no split 'val'; it has train"):
        open_place_set(tmp_path / "gsv", "val")
    write_holidays(tmp_path / "holidays")
    with pytest.raises(SourceError, match="no split 'train'; it has test"):
        open_place_set(tmp_path / "holidays", "train")


@pytest.mark.parametrize(
    ("file", "text", "found"),
    [
        (
            "ground_truth.json",
            '{"0.jpg": ["7.jpg"]}',
            "names the database image '7.jpg', which is not among the 1 there",
        ),
        ("ground_truth.json", '{"3": [0]}', "names the query image '3', which is not among the 1 there"),
        ("ground_truth.json", "[1, 2]", "cannot read the ground truth"),
        ("ground_truth.csv", "query,place\n0.jpg,0.jpg\n", "lacks the column database"),
    ],
)
def test_wrong_ground_truth(tmp_path: Path, file: str, text: str, found: str) -> None:
    for side in ("database", "queries"):
        write_picture(tmp_path / side / "0.jpg")
    (tmp_path / file).write_text(text)
    with pytest.raises(SourceError, match=found):
        open_place_set(tmp_path)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("image,label\na.jpg,hall\n", "lacks the column split"),
        ("label,split\nhall,query\n", "lacks the column image"),
        ("image,label,split\na.jpg,hall,train\n", "line 2: split is 'train', expected database or gallery"),
        (
            "image,label,split\nb.jpg,hall,query\n",
            "none of the 1 images of .*csv exists, e.g. .*b.jpg",
        ),
        ("image,label,split\n", "lists nothing below its header"),
    ],
)
def test_wrong_tables_with_labels(tmp_path: Path, text: str, found: str) -> None:
    write_picture(tmp_path / "a.jpg")
    (tmp_path / "dataset.csv").write_text(text)
    with pytest.raises(SourceError, match=found):
        open_place_set(tmp_path)


def test_wrong_retrieval_lists(tmp_path: Path) -> None:
    write_oxford(tmp_path)
    replace_in(tmp_path / "groundtruth" / "tower_1_ok.txt", "tower_000004", "tower_000009")
    with pytest.raises(SourceError, match=r"tower_1_ok.txt names the image tower_000009"):
        open_place_set(tmp_path)
    (tmp_path / "groundtruth" / "tower_1_ok.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SourceError, match=r"cannot read the list .*tower_1_ok.txt"):
        open_place_set(tmp_path)
    (tmp_path / "groundtruth" / "tower_1_ok.txt").unlink()
    with pytest.raises(SourceError, match=r"cannot read the list .*tower_1_ok.txt"):
        open_place_set(tmp_path)


def test_query_region_without_corners(tmp_path: Path) -> None:
    write_oxford(tmp_path)
    replace_in(tmp_path / "groundtruth" / "tower_1_query.txt", " 19.5", "")
    with pytest.raises(SourceError, match="expected an image and x0 y0 x1 y1 in pixels; found 4 fields"):
        open_place_set(tmp_path)


def test_what_is_no_collection(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist; expected a dbStruct"):
        open_place_set(tmp_path / "nowhere")
    write_picture(tmp_path / "lonely.jpg")
    with pytest.raises(SourceError, match="is no collection of places that is known here; expected"):
        open_place_set(tmp_path)
    for side in ("database", "queries"):
        write_picture(tmp_path / side / "0.jpg")
    places = open_place_set(tmp_path)
    with pytest.raises(SourceError, match="neither positions nor labels nor a ground-truth file"):
        places.positives()
    (tmp_path / "queries" / "0.jpg").unlink()
    with pytest.raises(SourceError, match=r"no images in .*queries"):
        open_place_set(tmp_path)
