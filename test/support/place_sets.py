"""Small collections of places in the formats of the large ones, as their owners lay them out."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from scipy.io import savemat

from support.street import street, write_view

Position = tuple[float, float]


def write_picture(path: Path, shade: int = 0) -> None:
    """A small JPEG or PNG that no other shade equals."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.random.default_rng(shade).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    assert cv2.imwrite(str(path), picture)


def cells(names: Sequence[str]) -> np.ndarray:
    """A MATLAB cell array of strings, one column."""
    array = np.empty((len(names), 1), dtype=object)
    array[:, 0] = list(names)
    return array


def pitts_struct(
    database: Sequence[str], at: Sequence[Position], queries: Sequence[str], asked_at: Sequence[Position]
) -> dict[str, object]:
    """The fields of dbStruct in their order."""
    return {
        "whichSet": "test",
        "dbImageFns": cells(database),
        "utmDb": np.array(at, dtype=np.float64).T,
        "qImageFns": cells(queries),
        "utmQ": np.array(asked_at, dtype=np.float64).T,
        "numImages": float(len(database)),
        "numQueries": float(len(queries)),
        "posDistThr": 25.0,
        "posDistSqThr": 625.0,
        "nonTrivPosDistSqThr": 100.0,
    }


def write_pitts(folder: Path, split: str = "test", first: int = 0) -> Path:
    """Three panoramas of two cut-outs, 20 m apart, and two queries, the second far away."""
    database = [f"000/{first + p:06d}_pitch1_yaw{yaw}.jpg" for p in range(3) for yaw in (1, 2)]
    at = [(20.0 * (first + p), 0.0) for p in range(3) for _ in (1, 2)]
    queries = [f"000/{first + q:06d}_pitch1_yaw1.jpg" for q in range(2)]
    asked_at = [(20.0 * first + 1.0, 1.0), (5000.0 + first, 0.0)]
    for number, name in enumerate(database):
        write_picture(folder / "images" / name, 100 * first + number)
    for number, name in enumerate(queries):
        write_picture(folder / "queries_real" / name, 100 * first + 50 + number)
    path = folder / "datasets" / f"pitts30k_{split}.mat"
    path.parent.mkdir(exist_ok=True)
    savemat(path, {"dbStruct": pitts_struct(database, at, queries, asked_at)})
    return path


def write_tokyo(folder: Path) -> Path:
    """Two panoramas of twelve cut-outs, PNG files that the structure calls JPG; fields of other names."""
    names = [f"03814/{pano}_012_{30 * cut:03d}.jpg" for pano in ("paNo-1", "pa_No2") for cut in range(12)]
    at = [(0.0, 0.0)] * 12 + [(100.0, 0.0)] * 12
    for number, name in enumerate(names):
        write_picture((folder / "database_gsv_vga" / name).with_suffix(".png"), number)
    write_picture(folder / "247query_subset_v2" / "00001.jpg", 99)
    fields = pitts_struct(names, at, ["00001.jpg"], [(101.0, 0.0)])
    fields["dbImage"], fields["qImage"] = fields.pop("dbImageFns"), fields.pop("qImageFns")
    path = folder / "tokyo247.mat"
    savemat(path, {"dbStruct": fields})
    return path


def write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A CSV; with the empty first column for row numbers where the header asks for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def write_msls(folder: Path, city: str = "cph", first: int = 0) -> None:
    """Database of three images and a panorama; three queries, the last not of the subtask "all"."""
    for side, count in (("database", 4), ("query", 3)):
        base = folder / "train_val" / city / side
        keys = [f"{city}{side[0]}{number}" for number in range(count)]
        east = [first + 30.0 * n + (2.0 if side == "query" else 0.0) for n in range(count)]
        is_pano = [side == "database" and n == 3 for n in range(count)]
        in_all = [side == "database" or n < 2 for n in range(count)]
        tables: dict[str, tuple[list[str], list[list[object]]]] = {
            "raw": (
                ["", "key", "lon", "lat", "ca", "captured_at", "pano"],
                [[n, k, 12.5, 55.6, 90.0 * n, "2019-01-01", is_pano[n]] for n, k in enumerate(keys)],
            ),
            "postprocessed": (
                ["", "key", "easting", "northing", "night", "control_panel", "view_direction"],
                [[n, k, east[n], 6e6, False, False, "Forward"] for n, k in enumerate(keys)],
            ),
            "seq_info": (
                ["", "key", "sequence_key", "frame_number"],
                [[n, k, "seqA", n] for n, k in enumerate(keys)],
            ),
            "subtask_index": (
                ["", "key", "all", "s2w"],
                [[n, k, in_all[n], False] for n, k in enumerate(keys)],
            ),
        }
        for name, (header, rows) in tables.items():
            write_table(base / f"{name}.csv", header, rows)
        for number, key in enumerate(keys):
            write_picture(base / "images" / f"{key}.jpg", hash_of(key) + number)


def hash_of(text: str) -> int:
    """A number that is the same in every run."""
    return sum(ord(letter) * 31**place for place, letter in enumerate(text)) % 10**6


GSV_COLUMNS = ["place_id", "year", "month", "northdeg", "city_id", "lat", "lon", "panoid"]


def write_gsv_cities(folder: Path) -> None:
    """Two cities with two places of two images; half of the names lack zeros and end in small letters."""
    for city, lat in (("Bangkok", 13.7), ("London", 51.5)):
        rows: list[list[object]] = []
        for place in (1, 2):
            for image in range(2):
                written = f"{lat + place / 100:.3f}"
                rows.append([place, 2015, 7, 45 * image, city, written, "100.50", f"p{place}_{image}"])
                at = f"{written}_100.50" if image else f"{float(written)}_100.5"
                name = f"{city}_{place:07d}_2015_07_{45 * image:03d}_{at}_p{place}_{image}"
                suffix = ".JPG" if image else ".jpg"
                write_picture(
                    folder / "Images" / city / f"{name}{suffix}", place * 10 + image + hash_of(city)
                )
        write_table(folder / "Dataframes" / f"{city}.csv", GSV_COLUMNS, rows)


def at_name(east: float, north: float, heading: str = "", zone: str = "32", panorama: str = "") -> str:
    return f"@{east}@{north}@{zone}@U@@@{panorama}@@{heading}@@@@@@.jpg"


def write_at_tree(folder: Path, splits: Sequence[str] = ("train", "val", "test")) -> None:
    """In each split four database images 12 m apart, a query beside the first and one far off all of them."""
    for number, split in enumerate(splits):
        start = 10_000.0 * number
        for row in range(4):
            write_picture(
                folder / "images" / split / "database" / at_name(start + 12 * row, 0, "90"), 10 * number + row
            )
        write_picture(folder / "images" / split / "queries" / at_name(start + 1, 0, "0"), 10 * number + 5)
        write_picture(folder / "images" / split / "queries" / at_name(start + 500, 0), 10 * number + 6)


def write_oxford(folder: Path) -> None:
    """Five images and one query region; one correct image is good, one is ok, one is junk."""
    for number in range(5):
        write_picture(folder / "images" / f"tower_{number:06d}.jpg", number)
    truth = folder / "groundtruth"
    truth.mkdir()
    (truth / "tower_1_query.txt").write_text("oxc1_tower_000000 4.5 2.0 20.25 19.5\n")
    (truth / "tower_1_good.txt").write_text("tower_000000\ntower_000002\n")
    (truth / "tower_1_ok.txt").write_text("tower_000004\n")
    (truth / "tower_1_junk.txt").write_text("tower_000001\n")


def write_holidays(folder: Path) -> None:
    """Two queries, the first with two correct images and the second with one."""
    for number in (100000, 100001, 100002, 100100, 100101):
        write_picture(folder / "jpg" / f"{number}.jpg", number)


def write_street_set(folder: Path) -> None:
    """A street every 8 m; queries at 1 and 33 m, one that lies about where it is, and one off the map."""
    fronts = street(seed=1, metres=80)
    for x in range(0, 80, 8):
        write_view(folder / "database" / at_name(x, 0), fronts, x)
    for said, x in ((1, 1), (33, 33), (70, 17)):
        write_view(folder / "queries" / at_name(said, 0), fronts, x)
    write_view(folder / "queries" / at_name(900, 0), street(seed=9, metres=30), 10)
