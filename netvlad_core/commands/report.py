"""Show a map, and how a drive is localized in it, as one HTML page.

The page needs no network: trajectory, pictures, matches and belief of each image, failures first, curves,
times and settings. Without --queries it shows the map itself.

    netvlad report maps/campus --queries tuesday/ --output report.html
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from typing import Any

from netvlad_core.commands import arguments, output, types
from netvlad_core.errors import NetvladError
from netvlad_core.files import check_outputs, written_whole

# Options that say how queries are localized.
_OF_QUERIES = (
    "weights", "params", "verify", "single_image", "min_similarity", "image_topic", "pose_topic",
    "trajectory", "map_frame", "extrinsics", "no_truth",
)  # fmt: skip


def add_arguments(command: argparse.ArgumentParser) -> None:
    arguments.add_localization(command, source_option="--queries")
    arguments.add_threshold(command)
    add = command.add_argument
    text = "the poses of the queries are odometry, not true positions in the map: show no errors"
    add("--no-truth", action="store_true", help=text)
    text = "megabytes of pictures in the page; 0: none (default: %(default)g)"
    add("--pictures", type=_megabytes, default=6.5, metavar="MB", help=text)
    add("--output", type=types.output_file, required=True, metavar="HTML", help="page to write")


def _megabytes(text: str) -> float:
    return 0.0 if text == "0" else types.positive(text)


def run(options: argparse.Namespace) -> int:
    from netvlad_core import __version__
    from netvlad_core.evaluation.report.page import MARK, page_text

    check_outputs({options.output: MARK}, arguments.inputs_of(options))
    values, finish = (_map if options.source is None else _drive)(options)
    with written_whole(options.output) as partial:
        partial.write_text(page_text({**values, "version": __version__}), encoding="utf-8")
    what = f"{len(values['queries']['rows'])} queries" if "queries" in values else "the map alone"
    print(f"{options.output}: {what}, {options.output.stat().st_size / 1e6:.1f} MB")
    return finish()


def _map(options: argparse.Namespace) -> tuple[dict[str, Any], Callable[[], int]]:
    from netvlad_core.evaluation.report.page import map_report
    from netvlad_core.mapping.place_map import PlaceMap

    if given := [name for name in _OF_QUERIES if getattr(options, name)]:
        names = " and ".join(f"--{name.replace('_', '-')}" for name in given)
        raise NetvladError(f"without --queries {names} would have no effect; leave it out, or name a drive")
    place_map = PlaceMap.open(options.map, verify=True)
    output.warn_of_units(place_map)
    return map_report(place_map, 1e6 * options.pictures), lambda: 0


def _drive(options: argparse.Namespace) -> tuple[dict[str, Any], Callable[[], int]]:
    from netvlad_core.evaluation.report.page import drive_report

    localizer = arguments.open_localizer(options)
    source = arguments.open_source(options, poses_required=False)
    left_out = Counter[str]()
    values = drive_report(
        localizer,
        source,
        options.threshold,
        1e6 * options.pictures,
        left_out,
        has_truth=not options.no_truth,
        progress=not options.quiet,
    )
    used = len(values["queries"]["rows"])
    return values, lambda: output.finish(used, left_out, total=len(source), remark=source.remark)
