"""Recall of `netvlad build-map` and `netvlad evaluate` with default weights on real sets.

Each set becomes two catalogues whose positions say which images show one place; the sets stay where they
are.
"""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from benchmarks._measure import parser
from benchmarks.ie_tower import STEP, TEST_FLOORS, read_building

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
# Recall@1 of untrained Lite0 features with 32 VLAD clusters, 240x320, as measured before this project.
_BASELINES = {"rtabmap_corridor": 97.5, "vprbench_corridor": 84.7}

Rows = list[tuple[Path, float, float, float]]  # image, x and y in metres, yaw


def vprbench_corridor(data: Path) -> tuple[Rows, Rows, float]:
    """Image i of both drives is one place; correct within two images."""
    drives = (_numbered(data / "vprbench_corridor" / name) for name in ("database", "queries"))
    places, queries = ([(path, float(i), 0.0, 0.0) for i, path in enumerate(drive)] for drive in drives)
    return places, queries, 2.0


def rtabmap_corridor(data: Path) -> tuple[Rows, Rows, float]:
    """Image i + 40 of the second lap shows image i of the first one; correct within two images."""
    images = _numbered(data / "rtabmap_corridor" / "images")
    first, second = images[:40], images[40:80]
    return *([(path, float(i), 0.0, 0.0) for i, path in enumerate(lap)] for lap in (first, second)), 2.0  # type: ignore[return-value]


def toshiki_loop(data: Path) -> tuple[Rows, Rows, float]:
    """Even images against odd ones of one outdoor loop, about 3 m apart; correct within 5 m."""
    with (data / "toshiki_loop" / "poses.csv").open() as file:
        rows = [
            (data / "toshiki_loop" / row["file"], float(row["x"]), float(row["y"]), float(row["yaw"]))
            for row in csv.DictReader(file)
        ]
    return rows[::2], rows[1::2], 5.0


def ietower(data: Path) -> tuple[Rows, Rows, float]:
    """Floors that no network of this package has seen: every second gallery image against every query.

    Correct is what lies in one video within three frames.
    """
    frames = [frame for frame in read_building(data / "ietower") if frame.floor in TEST_FLOORS]
    gallery, queries = (
        [(frame.image, frame.x / STEP, frame.y, 0.0) for frame in frames if frame.is_query is is_query]
        for is_query in (False, True)
    )
    return gallery[::2], queries, 3.0


SETS = {read.__name__: read for read in (vprbench_corridor, rtabmap_corridor, toshiki_loop, ietower)}


def _numbered(folder: Path) -> list[Path]:
    return sorted(folder.iterdir(), key=lambda path: int(re.sub(r"\D", "", path.stem)))


def write_catalogue(rows: Rows, path: Path) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "x", "y", "yaw"])
        writer.writerows([os.path.relpath(image, path.parent), *pose] for image, *pose in rows)
    return path


def _netvlad(*arguments: str) -> str:
    command = [sys.executable, "-m", "netvlad_core", *arguments, "--quiet"]
    return subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--data", type=Path, default=DATA, help="folder of the sets")
    arguments.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="(default: all)")
    arguments.add_argument("--seed", default="0", help="of the clustering")
    options = arguments.parse_args()
    if not options.data.is_dir():
        print(f"the real sets are not in {options.data}: nothing to measure")
        return
    print("| set | places | queries | correct within | R@1 | R@5 | R@10 | VLAD-32 R@1 | time |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in options.sets:
        read = SETS[name]
        places, queries, threshold = read(options.data.resolve())
        with TemporaryDirectory() as folder:
            started = monotonic()
            database = write_catalogue(places, Path(folder) / "places.csv")
            drive = write_catalogue(queries, Path(folder) / "queries.csv")
            place_map = str(Path(folder) / "map")
            _netvlad("build-map", str(database), "--output", place_map, "--seed", options.seed)
            text = _netvlad("evaluate", place_map, str(drive), "--threshold", str(threshold), "--json")
            recall = json.loads(text)["recall"]
        shown = " | ".join(f"{100 * recall[n]:.1f}" for n in ("1", "5", "10"))
        baseline = _BASELINES.get(name, "")
        seconds = f"{monotonic() - started:.0f} s"
        sizes = f"{len(places)} | {len(queries)} | {threshold:g}"
        print(f"| {name} | {sizes} | {shown} | {baseline} | {seconds} |", flush=True)


if __name__ == "__main__":
    main()
