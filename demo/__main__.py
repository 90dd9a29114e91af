"""`make demo`: a drive becomes a map, a second drive of the same places is recognized live over ROS 2."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import Any

from netvlad_core.data.bags.source import BagSource, SourceOptions
from netvlad_core.errors import NetvladError
from netvlad_core.mapping.place_map import PlaceMap

_ROOT = Path(__file__).resolve().parent.parent
# For the tests: a part of the route, small pictures.
_SHORT: dict[str, Any] = {"length": 50.0, "size": (320, 240)}

_EXECUTABLES = _ROOT / ".build" / "install" / "lib" / "netvlad_ros"


def main() -> int:
    options = _arguments()
    try:
        return run(options)
    except (NetvladError, RuntimeError, subprocess.CalledProcessError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


def run(options: argparse.Namespace) -> int:
    """Make or take two drives, map the first, play the second, and show what came of it."""
    from demo.play import drive
    from demo.result import compare, draw, summary

    started = monotonic()
    options.output.mkdir(parents=True, exist_ok=True)
    first, second, title = _drives(options)
    map_path = options.output / "map"
    topics = [
        text
        for option, topic in (("--image-topic", options.image_topic), ("--pose-topic", options.pose_topic))
        if topic
        for text in (option, topic)
    ]
    print(f"\nmap of {first.name}", flush=True)
    build_map = [sys.executable, str(_EXECUTABLES / "build_map"), str(first)]
    subprocess.run([*build_map, "--output", str(map_path), *topics], check=True)
    queries = BagSource.open(
        second, SourceOptions(image_topic=options.image_topic, pose_topic=options.pose_topic)
    )
    print(f"\ndriving through {second.name}, live over ROS 2", flush=True)
    recording = drive(second, queries.image_topic, map_path, _EXECUTABLES / "localize_node")
    place_map = PlaceMap.open(map_path)
    answers = compare(list(queries), recording, place_map)
    picture = options.output / "demo.png"
    draw(answers, place_map, title, picture)
    page = options.output / "report.html"
    print("\nreport of the same drive, every image in turn", flush=True)
    report = [sys.executable, str(_EXECUTABLES / "report"), str(map_path), "--queries", str(second)]
    subprocess.run([*report, "--output", str(page), *topics], check=True)
    print(f"\n{summary(answers, recording)}")
    print(f"picture       {picture}")
    print(f"report        {page}")
    print(f"time          {monotonic() - started:.0f} s")
    if not answers:
        print("demo: the localizer answered no image", file=sys.stderr)
        return 1
    return 0


def _drives(options: argparse.Namespace) -> tuple[Path, Path, str]:
    """The bag to map and the bag to play, and what they are."""
    if options.bag is not None:
        second = options.query_bag or options.bag
        same = " (the same drive, so an upper bound)" if second == options.bag else ""
        return options.bag, second, f"{second.name} recognized on the map of {options.bag.name}{same}"
    noon, evening = _rendered_drives(options.output / ("short" if options.short else "drives"), options.short)
    return noon, evening, "An evening drive recognized on the map of a drive at noon"


def _rendered_drives(folder: Path, short: bool) -> tuple[Path, Path]:
    """Bags of both drives through the town; rendered once."""
    from town.drives import FIRST, SECOND_DRIVE, write_drive

    extent = _SHORT if short else {}
    bags = []
    for name, drive_through_town in (("noon", FIRST), ("evening", SECOND_DRIVE)):
        bag = folder / name
        if not bag.is_dir():
            # Rendered elsewhere and moved, so that a bag that is there is a whole one. Its files are named
            # after its folder, which therefore has its name from the start.
            partial = folder / ".partial" / name
            shutil.rmtree(partial, ignore_errors=True)
            partial.parent.mkdir(parents=True, exist_ok=True)
            write_drive(partial, drive_through_town, progress=True, **extent)
            partial.rename(bag)
        bags.append(bag)
    return bags[0], bags[1]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--bag", type=Path, help="drive to map, instead of the rendered town")
    parser.add_argument("--query-bag", type=Path, help="drive to recognize (default: the same)")
    parser.add_argument("--image-topic", help="images of the bag")
    parser.add_argument("--pose-topic", help="poses of the bag")
    parser.add_argument("--short", action="store_true", help="a part of the town, small images")
    parser.add_argument("--output", type=Path, default=Path("demo_output"), help="(default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
