"""The command `netvlad`: a subcommand per operation; only parses, calls and prints.

Modules that need torch are imported by the subcommand that runs, so that help and mistakes answer at once.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netvlad_core import __version__
from netvlad_core.errors import NetvladError

if TYPE_CHECKING:
    from netvlad_core.data.frames import FrameSource
    from netvlad_core.evaluation.drive import DriveResult
    from netvlad_core.localization.localizer import Localization, Localizer

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `netvlad` with these arguments; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except NetvladError as error:
        print(f"netvlad {options.command}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"netvlad {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nnetvlad {options.command}: stopped", file=sys.stderr)
        return _INTERRUPTED
    return 0


# --- The subcommands ----------------------------------------------------------------------------------------


def build_map(options: argparse.Namespace) -> None:
    from netvlad_core.mapping.builder import BuildOptions, build_map
    from netvlad_core.mapping.keyframes import KEEP_ALL, KeyframeRule

    keyframes = None
    if options.every_image:
        keyframes = KEEP_ALL
    elif any(value is not None for value in (options.distance, options.angle, options.time)):
        keyframes = KeyframeRule(options.distance, options.angle, options.time)
    build_options = BuildOptions(
        keyframes=keyframes,
        store_images=options.store_images,
        weights=options.weights,
        require_poses=not options.no_poses,
        batch_size=options.batch_size,
        **_fit_options(options),
    )
    try:
        place_map = build_map(_open_source(options), options.output, build_options, not options.quiet)
    except KeyboardInterrupt:
        print("\nthe same command continues where this one stopped", file=sys.stderr)
        raise
    header = place_map.header
    print(f"{options.output}: {header.places} places, {header.dimension} dimensions, model {header.model_id}")
    _print_counts("left out", header.skipped)


def fit(options: argparse.Namespace) -> None:
    from netvlad_core.mapping.builder import sample_frames
    from netvlad_core.mapping.keyframes import KEEP_ALL, KeyframeRule
    from netvlad_core.model.checkpoints import save_checkpoint
    from netvlad_core.model.fitting import fit_network

    source = _open_source(options)
    rule = KeyframeRule() if source.is_stream and not options.no_poses else KEEP_ALL
    network = fit_network(sample_frames(source, rule, not options.quiet), **_fit_options(options))
    model_id = save_checkpoint(network, options.output)
    print(f"{options.output}: {network.spec.dimension} dimensions, model {model_id}")


def localize(options: argparse.Namespace) -> None:
    from netvlad_core.data.trajectory import write_tum
    from netvlad_core.evaluation.drive import localize_frames

    localizer = _open_localizer(options)
    left_out: Counter[str] = Counter()
    source = _open_source(options, poses_required=False)
    poses, states = [], Counter[str]()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with options.output.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_LOCALIZE_COLUMNS)
        for frame, answer in localize_frames(localizer, _with_progress(source, options.quiet), left_out):
            writer.writerow(_localize_row(frame.name, answer))
            states[answer.state.name] += 1
            if answer.prior:
                poses.append((answer.stamp, answer.prior.pose))
    tum = options.output.with_suffix(".tum")
    write_tum(tum, poses)
    print(f"{options.output}: {sum(states.values())} images; {tum}: {len(poses)} poses")
    _print_counts("states", states)
    _print_counts("left out", left_out + source.skipped)


def evaluate(options: argparse.Namespace) -> None:
    from netvlad_core.evaluation.drive import evaluate_drive, localize_frames
    from netvlad_core.evaluation.recall import RECALL_AT

    localizer = _open_localizer(options, top_k=max(RECALL_AT))
    source = _open_source(options)
    left_out: Counter[str] = Counter()
    frames = _with_progress(source, options.quiet)
    answers = ((frame.pose, answer) for frame, answer in localize_frames(localizer, frames, left_out))
    result = evaluate_drive(localizer.place_map, answers, options.threshold)
    left_out += Counter(result.left_out) + source.skipped
    if options.json:
        print(json.dumps(_result_values(result, localizer, left_out), indent=2))
    else:
        _print_result(result, left_out)


def inspect(options: argparse.Namespace) -> None:
    if options.path.is_dir():
        from netvlad_core.mapping.place_map import PlaceMap

        values = asdict(PlaceMap.open(options.path, verify=True).header)
    else:
        from netvlad_core.model.checkpoints import load_checkpoint

        network = load_checkpoint(options.path)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        values = {
            "model_id": network.fingerprint(),
            "dimension": network.spec.dimension,
            "parameters": parameters,
            **asdict(network.spec),
        }
    if options.json:
        print(json.dumps(values, indent=2))
        return
    for key, value in values.items():
        if key == "files":
            value = ", ".join(f"{name} ({_megabytes(stated['bytes'])})" for name, stated in value.items())
        elif isinstance(value, dict):
            value = ", ".join(f"{name}: {content}" for name, content in value.items()) or "nothing"
        print(f"{key.replace('_', ' '):>22}  {value}")


# --- Arguments ----------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="netvlad", description="Visual place recognition: build a map from a drive, find images in it."
    )
    parser.add_argument("--version", action="version", version=f"netvlad {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    build = _add(
        commands,
        "build-map",
        build_map,
        "build a map of places from a drive",
        "netvlad build-map drive/ --image-topic /camera/image_raw --pose-topic /odom --output maps/campus",
        "Without --weights the clusters are fitted on the drive, and the map contains its own network.",
    )
    _add_source(build)
    build.add_argument("--output", type=Path, required=True, metavar="MAP", help="folder to write the map to")
    build.add_argument(
        "--weights", type=Path, metavar="FILE", help="checkpoint to use instead of fitting one"
    )
    build.add_argument(
        "--store-images",
        choices=("none", "thumbnail", "full"),
        default="thumbnail",
        help="images kept in the map; none for privacy (default: %(default)s)",
    )
    rule = build.add_argument_group("keyframes (for recordings, the default is 1 m or 15 degrees)")
    rule.add_argument("--distance", type=_positive, metavar="M", help="a place every so many metres")
    rule.add_argument(
        "--angle", type=_positive, metavar="DEG", help="a place at every turn of so many degrees"
    )
    rule.add_argument("--time", type=_positive, metavar="S", help="a place every so many seconds")
    rule.add_argument("--every-image", action="store_true", help="every image is a place")
    build.add_argument("--no-poses", action="store_true", help="accept a drive without poses")
    build.add_argument("--batch-size", type=int, default=8, metavar="N", help="images per step (default: 8)")
    _add_fit(build)

    fitting = _add(
        commands,
        "fit",
        fit,
        "fit clusters, and whitening, on the images of a drive",
        "netvlad fit drive/ --clusters 64 --whiten 512 --output campus.safetensors",
    )
    _add_source(fitting)
    fitting.add_argument("--output", type=Path, required=True, metavar="FILE", help="checkpoint to write")
    fitting.add_argument("--no-poses", action="store_true", help="accept a drive without poses")
    _add_fit(fitting)

    localizing = _add(
        commands,
        "localize",
        localize,
        "find the images of a drive in a map",
        "netvlad localize maps/campus tuesday/ --output tuesday.csv",
        "Writes one CSV row per image, and the poses as a TUM trajectory beside it.",
    )
    _add_map(localizing)
    _add_source(localizing)
    localizing.add_argument("--output", type=Path, required=True, metavar="CSV", help="table to write")

    evaluating = _add(
        commands,
        "evaluate",
        evaluate,
        "recall and position error of a drive whose poses are known",
        "netvlad evaluate maps/campus tuesday/ --pose-topic /ground_truth --threshold 25",
    )
    _add_map(evaluating)
    _add_source(evaluating)
    evaluating.add_argument(
        "--threshold",
        type=_positive,
        default=25.0,
        metavar="M",
        help="a place this near is correct (default: 25)",
    )
    evaluating.add_argument("--json", action="store_true", help="print JSON")

    inspecting = _add(
        commands,
        "inspect",
        inspect,
        "describe a map or a checkpoint, and check it",
        "netvlad inspect maps/campus",
    )
    inspecting.add_argument("path", type=Path, metavar="MAP|FILE", help="map folder or checkpoint")
    inspecting.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _add(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], None],
    summary: str,
    example: str,
    remark: str = "",
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}. {remark}",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


def _add_source(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "source", metavar="SOURCE", type=Path, help="bag, catalogue CSV (image,x,y,...) or folder of images"
    )
    bag = command.add_argument_group("bags")
    bag.add_argument("--image-topic", metavar="T", help="images; found by itself where there is only one")
    bag.add_argument("--pose-topic", metavar="T", help="odometry, poses, path, GPS fixes or /tf; likewise")
    bag.add_argument(
        "--trajectory", type=Path, metavar="TUM", help="poses from a TUM file instead of a topic"
    )
    bag.add_argument("--base-frame", default="base_link", metavar="F", help="(default: %(default)s)")
    bag.add_argument("--map-frame", metavar="F", help="root frame of the poses in /tf")
    bag.add_argument(
        "--extrinsics",
        type=float,
        nargs=7,
        metavar=("X", "Y", "Z", "QX", "QY", "QZ", "QW"),
        help="pose of the base frame in the frame whose pose is recorded; else taken from TF",
    )
    command.add_argument("--quiet", action="store_true", help="no progress bar")


def _add_fit(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("network to fit")
    group.add_argument("--backbone", default="efficientnet_lite0", help="(default: %(default)s)")
    group.add_argument("--backbone-weights", type=Path, metavar="FILE", help="its ImageNet checkpoint")
    group.add_argument("--clusters", type=int, default=64, metavar="K", help="(default: %(default)s)")
    group.add_argument("--whiten", type=int, metavar="D", help="whiten the descriptor to D dimensions")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="(default: %(default)s)")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 (default: %(default)s)")


def _add_map(command: argparse.ArgumentParser) -> None:
    command.add_argument("map", metavar="MAP", type=Path, help="map folder")
    command.add_argument("--weights", type=Path, metavar="FILE", help="checkpoint, if not where the map says")
    command.add_argument(
        "--min-similarity",
        type=float,
        metavar="S",
        help="below it the state is LOST (default: the map's own)",
    )
    command.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 (default: %(default)s)")


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text}")
    return value


def _fit_options(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "backbone": options.backbone,
        "backbone_weights": options.backbone_weights,
        "clusters": options.clusters,
        "whitened_dimension": options.whiten,
        "seed": options.seed,
        "device": options.device,
    }


def _open_source(options: argparse.Namespace, poses_required: bool = True) -> FrameSource:
    from netvlad_core.data.geometry import Pose
    from netvlad_core.data.sources import SourceOptions, open_source

    values = options.extrinsics
    return open_source(
        options.source,
        SourceOptions(
            image_topic=options.image_topic,
            pose_topic=options.pose_topic,
            trajectory=options.trajectory,
            extrinsics=Pose.from_values(values[:3], values[3:]) if values else None,
            base_frame=options.base_frame,
            map_frame=options.map_frame,
            poses_required=poses_required and not getattr(options, "no_poses", False),
        ),
    )


def _open_localizer(options: argparse.Namespace, top_k: int = 10) -> Localizer:
    from netvlad_core.localization.localizer import Localizer, LocalizerOptions

    return Localizer.open(
        options.map, options.weights, options.device, LocalizerOptions(top_k, options.min_similarity)
    )


# --- Output -------------------------------------------------------------------------------------------------

_LOCALIZE_COLUMNS = ["image", "stamp", "state", "place", "similarity", "x", "y", "z", "qx", "qy", "qz", "qw"]


def _localize_row(name: str, answer: Localization) -> list[Any]:
    best = answer.matches[0]
    pose = (
        [f"{v:.6f}" for v in (*answer.prior.pose.position, *answer.prior.pose.quaternion)]
        if answer.prior
        else []
    )
    stamp = f"{answer.stamp // 10**9}.{answer.stamp % 10**9:09d}"
    return [name, stamp, answer.state.name, best.place, f"{best.similarity:.6f}", *(pose or [""] * 7)]


def _result_values(result: DriveResult, localizer: Localizer, left_out: Counter[str]) -> dict[str, Any]:
    errors = result.position_errors
    return {
        "map_id": localizer.place_map.header.map_id,
        "model_id": localizer.place_map.header.model_id,
        "queries": result.queries,
        "queries_without_positive": result.without_positive,
        "threshold_m": result.threshold,
        "recall": {str(n): share for n, share in result.recall.items()},
        "states": result.states,
        "position_error_median_m": float(sorted(errors)[len(errors) // 2]) if len(errors) else None,
        "left_out": dict(left_out),
    }


def _print_result(result: DriveResult, left_out: Counter[str]) -> None:
    import numpy as np

    print(f"{result.queries} queries, correct within {result.threshold:g} m")
    for n, share in result.recall.items():
        print(f"  Recall@{n:<3} {100 * share:5.1f} %")
    print(
        f"of all {result.queries} queries; {result.without_positive} of them have no correct place in the map"
    )
    _print_counts("states", result.states)
    if len(result.position_errors):
        median, high = np.quantile(result.position_errors, [0.5, 0.95])
        count = len(result.position_errors)
        print(f"position error of {count} poses: median {median:.2f} m, 95 % below {high:.2f} m")
    _print_counts("left out", left_out)


def _print_counts(title: str, counts: dict[str, int] | Counter[str]) -> None:
    if counts:
        print(f"{title}: " + ", ".join(f"{count} {reason}" for reason, count in counts.items()))


def _with_progress(source: FrameSource, quiet: bool) -> Any:
    from tqdm import tqdm

    return tqdm(source, total=len(source), unit="image", disable=quiet or None, dynamic_ncols=True)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
