"""Find the images of a drive in a map.

Writes one CSV row per image, and beside the table the poses as a TUM trajectory and the settings as YAML. A
precision/recall curve is that of the column `place`, accepted from a threshold on the column `score`.

    netvlad localize maps/campus tuesday/ --output tuesday.csv
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from netvlad_core.commands import arguments, output, types
from netvlad_core.errors import NetvladError
from netvlad_core.files import beside, check_outputs, written_whole
from netvlad_core.progress import bar

if TYPE_CHECKING:
    from pathlib import Path

    from netvlad_core.data.frames import Frame
    from netvlad_core.data.geometry import Pose
    from netvlad_core.evaluation.rerun_log import RerunLog
    from netvlad_core.localization.answer import Localization
    from netvlad_core.mapping.place_map import PlaceMap

# State and pose refer to `place`; a higher `score` is more certain.
_COLUMNS = [
    "image", "stamp", "state", "place", "score", "belief", "best_match", "similarity", "inliers",
    "x", "y", "z", "qx", "qy", "qz", "qw",
]  # fmt: skip
_MARK = "netvlad localize"


def add_arguments(command: argparse.ArgumentParser) -> None:
    arguments.add_localization(command)
    command.add_argument("--output", type=_table, required=True, metavar="CSV", help="table to write")
    text = "recording to write for Rerun, or `viewer` to open its viewer (needs rerun-sdk)"
    command.add_argument("--rerun", type=types.output_file, metavar="RRD", help=text)


def _table(text: str) -> Path:
    """Type of an argument: a file to write that is not named like the trajectory beside it."""
    if text.lower().endswith(".tum"):
        raise argparse.ArgumentTypeError(f"{text} must not end in .tum: the trajectory beside the table does")
    return types.output_file(text)


def run(options: argparse.Namespace) -> int:
    from netvlad_core.data.trajectory import write_tum
    from netvlad_core.evaluation.rerun_log import APPLICATION
    from netvlad_core.localization.localizer import localize_frames
    from netvlad_core.settings import parameters_text, settings_of

    tum, settings = beside(options.output, ".tum"), beside(options.output, ".settings.yaml")
    outputs = {options.output: ",".join(_COLUMNS[:4]), tum: _MARK, settings: _MARK}
    if _is_recorded(options):
        if options.rerun in outputs:
            raise NetvladError(f"{options.rerun} is to be two files; choose another name for --rerun")
        outputs[options.rerun] = APPLICATION
    check_outputs(outputs, arguments.inputs_of(options))
    localizer = arguments.open_localizer(options)
    source = arguments.open_source(options, poses_required=False)
    left_out, states = Counter[str](), Counter[str]()
    answers = localize_frames(localizer, bar(source, show=not options.quiet), left_out)
    with (
        written_whole(options.output) as table,
        written_whole(tum) as track,
        written_whole(settings) as used,
        _shown_in_rerun(options, localizer.place_map) as log,
    ):
        poses = _write_table(table, answers, states, log)
        write_tum(track, poses, _MARK)
        title = f"Settings of {_MARK}, {options.source.name} in {localizer.place_map.header.map_id}."
        used.write_text(parameters_text(settings_of(localizer.options), [title]), encoding="utf-8")
    print(f"{options.output}: {states.total()} images; {tum}: {len(poses)} poses")
    output.print_counts("states", states)
    left_out += source.skipped
    return output.finish(states.total(), left_out, total=len(source), remark=source.remark)


def _write_table(
    path: Path, answers: Iterable[tuple[Frame, Localization]], states: Counter[str], log: RerunLog | None
) -> list[tuple[int, Pose]]:
    """Write a row for each answer, count its state and log it; returns the poses with their stamps."""
    poses = []
    # A name that is no text in UTF-8 keeps its bytes.
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for frame, answer in answers:
            writer.writerow(_row(frame.name, answer))
            states[answer.state.name] += 1
            if log:
                log.add(frame, answer)
            if answer.prior:
                poses.append((answer.stamp, answer.prior.pose))
    return poses


def _is_recorded(options: argparse.Namespace) -> bool:
    return options.rerun is not None and str(options.rerun) != "viewer"


@contextmanager
def _shown_in_rerun(options: argparse.Namespace, place_map: PlaceMap) -> Iterator[RerunLog | None]:
    """The log that --rerun asks for, whole in its file when the block ends; None without it."""
    from netvlad_core.evaluation.rerun_log import RerunLog

    if options.rerun is None:
        yield None
    elif not _is_recorded(options):
        log = RerunLog(place_map, None)
        yield log
        log.close()
    else:
        with written_whole(options.rerun) as partial:
            log = RerunLog(place_map, partial)
            try:
                yield log
            finally:
                log.close()


def _row(name: str, answer: Localization) -> list[Any]:
    from netvlad_core.data.trajectory import seconds

    best = answer.matches[0]
    pose = [""] * 7
    if answer.prior:
        values = (*answer.prior.pose.position, *answer.prior.pose.quaternion)
        pose = [f"{value:.6f}" for value in values]
    stamp, belief = seconds(answer.stamp), f"{answer.probability:.6f}" if answer.belief else ""
    match = [best.place, f"{best.similarity:.6f}", best.inliers]
    return [name, stamp, answer.state.name, answer.place, f"{answer.confidence:.6f}", belief, *match, *pose]
