"""Arguments that several subcommands share, and what they say or open."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from netvlad_core.commands import output, types
from netvlad_core.data.radii import CORRECT_WITHIN
from netvlad_core.model.aggregations import AGGREGATIONS
from netvlad_core.model.backbones import BACKBONES, DEFAULT_BACKBONE
from netvlad_core.model.spec import PRECISIONS, NetworkSpec

if TYPE_CHECKING:
    from netvlad_core.data.frames import FrameSource
    from netvlad_core.data.place_sets.place_set import PlaceSet
    from netvlad_core.data.sources import SourceOptions
    from netvlad_core.localization.localizer import Localizer
    from netvlad_core.localization.localizer_options import LocalizerOptions
    from netvlad_core.mapping.builder import BuildOptions
    from netvlad_core.mapping.keyframes import KeyframeRule

_COLUMNS = 78


def add_commands(commands: Any, names: Iterable[str], package: str) -> None:
    """Add subcommands to the subparsers of a parser, each by the module of a package that has its name.

    The first paragraph of its docstring is the summary, the last one an example; it has `add_arguments` and
    `run`.
    """
    for name in names:
        module = import_module(f"{package}.{name.replace('-', '_')}")
        *text, example = (module.__doc__ or f"{name}.").strip().split("\n\n")  # none under python -OO
        summary = " ".join((text or [example])[0].split()).removesuffix(".")
        paragraphs = (fill(" ".join(part.split()), _COLUMNS, break_on_hyphens=False) for part in text)
        command = commands.add_parser(
            name,
            help=f"{summary[0].lower()}{summary[1:]}",
            description="\n\n".join(paragraphs),
            epilog=f"example:\n  {example.strip()}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.set_defaults(run=module.run, program=command.prog)


def add_source(
    command: argparse.ArgumentParser, is_optional: bool = False, option: str | None = None
) -> None:
    """Arguments that say where images come from; an `option` takes the place of the positional argument."""
    text = "bag, catalogue CSV (image,x,y,...) or folder of images"
    if option:
        command.add_argument(option, dest="source", metavar="SOURCE", type=types.path, help=text)
    else:
        nargs = "?" if is_optional else None
        command.add_argument("source", metavar="SOURCE", type=types.path, nargs=nargs, help=text)
    add_source_options(command)


def add_source_options(command: argparse.ArgumentParser) -> None:
    """Arguments that say how a source is read."""
    add = command.add_argument_group("bags").add_argument
    add("--image-topic", metavar="T", help="topic of the images (default: the only one)")
    text = "topic of odometry, poses, path, GPS fixes or /tf (default: the only one)"
    add("--pose-topic", metavar="T", help=text)
    add("--trajectory", type=types.path, metavar="TUM", help="TUM file with poses, instead of a topic")
    add("--base-frame", default="base_link", metavar="F", help="frame of the robot (default: %(default)s)")
    add("--map-frame", metavar="F", help="root frame of the poses in /tf")
    text = "pose of the recorded frame in the base frame (default: that of TF)"
    add("--extrinsics", type=float, nargs=7, metavar=("X", "Y", "Z", "QX", "QY", "QZ", "QW"), help=text)
    text = "topic to be stamped with its time of recording, because its own clock is wrong"
    add("--recording-time", action="append", default=[], metavar="T", help=text)
    add_quiet(command)


def add_quiet(command: argparse.ArgumentParser) -> None:
    command.add_argument("--quiet", action="store_true", help="show no progress bar")


def open_source(options: argparse.Namespace, poses_required: bool = True) -> FrameSource:
    from netvlad_core.data.sources import open_source

    return open_source(options.source, source_options(options, poses_required))


def source_options(options: argparse.Namespace, poses_required: bool = True) -> SourceOptions:
    from netvlad_core.data.geometry import Pose
    from netvlad_core.data.sources import SourceOptions

    values = options.extrinsics
    return SourceOptions(
        image_topic=options.image_topic,
        pose_topic=options.pose_topic,
        trajectory=options.trajectory,
        extrinsics=Pose.from_values(values[:3], values[3:]) if values else None,
        base_frame=options.base_frame,
        map_frame=options.map_frame,
        poses_required=poses_required,
        recording_time=tuple(options.recording_time),
    )


def add_building(command: argparse.ArgumentParser) -> None:
    """Arguments that say how a map is built, see `BuildOptions`."""
    add = command.add_argument
    text = "checkpoint or ONNX file, or `packaged` for the package's network (default: fit a network)"
    add("--weights", type=types.weights_file, metavar="FILE", help=text)
    choices, text = ("none", "thumbnail", "full"), "images kept in the map (default: %(default)s)"
    add("--store-images", choices=choices, default="thumbnail", help=text)
    text = (
        "local features kept in the map, with which queries are verified without its images: xfeat (37 kB a "
        "place at most), rootsift (62 kB) or none; images can be guessed of them (default: xfeat if OpenVINO "
        "or ONNX Runtime is installed, else rootsift)"
    )
    add("--store-features", metavar="KIND", default="auto", help=text)
    add_dimension(add)
    text = "images described at once (default: what suits the device)"
    add("--batch-size", type=types.at_least(1), metavar="N", help=text)
    add_precision(command)
    add_fit(command)
    add_keyframes(command)


def build_options(options: argparse.Namespace) -> BuildOptions:
    """What these arguments say."""
    from netvlad_core.mapping.builder import BuildOptions

    return BuildOptions(
        keyframes=keyframe_rule(options),
        store_images=options.store_images,
        store_features=options.store_features,
        dimension=options.dimension,
        weights=options.weights,
        require_poses=not options.no_poses,
        batch_size=options.batch_size,
        precision=options.precision,
        **fit_options(options),
    )


def add_keyframes(command: argparse.ArgumentParser) -> None:
    """Arguments that say which images of a drive become places."""
    add = command.add_argument_group("keyframes (default for recordings: 1 m or 15 degrees)").add_argument
    add("--distance", type=types.positive, metavar="M", help="a place every M metres")
    add("--angle", type=types.positive, metavar="DEG", help="a place at each turn of DEG degrees")
    add("--time", type=types.positive, metavar="S", help="a place every S seconds")
    add("--every-image", action="store_true", help="every image is a place")


def keyframe_rule(options: argparse.Namespace) -> KeyframeRule | None:
    """What these arguments say, None if they say nothing."""
    from netvlad_core.mapping.keyframes import KEEP_ALL, KeyframeRule

    if options.every_image:
        return KEEP_ALL
    values = (options.distance, options.angle, options.time)
    return KeyframeRule(*values) if any(value is not None for value in values) else None


def add_fit(command: argparse.ArgumentParser) -> None:
    """Arguments of a network that is fitted to a drive, and of the drive's poses."""
    command.add_argument("--no-poses", action="store_true", help="accept a drive without poses")
    add_network(command)


def add_network(command: argparse.ArgumentParser) -> None:
    """Arguments of a network that is fitted to images."""
    group = command.add_argument_group("network to fit")
    add = group.add_argument
    text = f"network below the aggregation: {', '.join(BACKBONES)} (default: %(default)s)"
    add("--backbone", metavar="NAME", default=DEFAULT_BACKBONE, help=text)
    text = "its weights: checkpoint, or `imagenet` for installed ones (default: the package's)"
    add("--backbone-weights", type=types.path, metavar="FILE", help=text)
    untrained = [name for name, entry in AGGREGATIONS.items() if not entry.needs_training]
    text = f"what makes a descriptor of its feature map: {', '.join(untrained)} (default: %(default)s)"
    add("--aggregation", choices=untrained, default="netvlad", metavar="A", help=text)
    text = "number of clusters (default: %(default)s)"
    add("--clusters", type=types.at_least(2), default=64, metavar="K", help=text)
    add("--whiten", type=types.at_least(1), metavar="D", help="whiten the descriptor to D dimensions")
    text = "assign to clusters by distance (equation 2 of the paper) instead of direction"
    add("--assignment-bias", action="store_true", help=text)
    add("--no-intra-normalization", action="store_true", help="skip intra-normalization")
    add("--seed", type=types.at_least(0), default=0, metavar="N", help="random seed (default: %(default)s)")
    add_device(group)


def fit_options(options: argparse.Namespace) -> dict[str, Any]:
    """Keyword arguments of `fit_network` and `BuildOptions`."""
    return {
        "spec": NetworkSpec.of_backbone(
            options.backbone,
            aggregation=options.aggregation,
            clusters=options.clusters,
            assignment_bias=options.assignment_bias,
            intra_normalization=not options.no_intra_normalization,
            whitened_dimension=options.whiten,
        ),
        "backbone_weights": options.backbone_weights,
        "seed": options.seed,
        "device": options.device,
    }


def add_localization(
    command: argparse.ArgumentParser, is_calibration: bool = False, source_option: str | None = None
) -> None:
    """Arguments that say in which map the images of a source are localized, and how; see `add_source`."""
    add = command.add_argument
    add("map", metavar="MAP", type=types.path, help="map folder")
    add(
        "--weights",
        type=types.weights_file,
        metavar="FILE",
        help="checkpoint or ONNX file (default: the map's)",
    )
    text = "parameter file of the localizer node; command-line options override it"
    add("--params", type=types.path, metavar="YAML", help=text)
    text = (
        "compare local features with those of the map, or with its images (default: if the map has local "
        "features)"
    )
    add("--verify", action=argparse.BooleanOptionalAction, help=text)
    text = "judge each image by itself, not as part of a drive whose poses serve as odometry"
    add("--single-image", action="store_true", help=text)
    if not is_calibration:  # which proposes it
        text = "with --single-image: best similarity below which an image is LOST (default: the map's)"
        add("--min-similarity", type=float, metavar="S", help=text)
    add_device(command)
    add_precision(command)
    add_source(command, option=source_option)


def add_map(command: argparse.ArgumentParser) -> None:
    command.add_argument("map", type=types.path, metavar="MAP", help="map folder")


def add_output_map(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--output", type=types.path, required=True, metavar="MAP", help="map folder to write"
    )


def add_store(command: argparse.ArgumentParser) -> None:
    text = "store of a fleet: a folder, or an address such as s3://bucket/fleet"
    command.add_argument("--store", required=True, metavar="URI", help=text)


def add_site(command: argparse.ArgumentParser, is_required: bool = True) -> None:
    text = "name of the place that its maps show"
    command.add_argument("--site", required=is_required, metavar="SITE", help=text)


def add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON")


def add_threshold(command: argparse.ArgumentParser) -> None:
    text = "distance within which a place is correct (default: %(default)g)"
    command.add_argument("--threshold", type=types.positive, default=CORRECT_WITHIN, metavar="M", help=text)


def localizer_options(options: argparse.Namespace) -> LocalizerOptions:
    """Options of the localizer: the defaults, the parameter file over them, the command line over both."""
    from netvlad_core.localization.localizer_options import LocalizerOptions
    from netvlad_core.settings import read_parameters, settings_of, with_settings

    usual = LocalizerOptions()
    values = read_parameters(options.params, settings_of(usual)) if options.params else {}
    if getattr(options, "min_similarity", None) is not None:
        values["min_similarity"] = options.min_similarity
    if options.single_image:
        values["sequence_filter"] = False
    if options.verify is not None:
        values["verification"] = "always" if options.verify else "never"
    return with_settings(usual, values)


def open_localizer(options: argparse.Namespace) -> Localizer:
    from netvlad_core.localization.localizer import Localizer

    chosen = localizer_options(options)
    localizer = Localizer.open(options.map, options.weights, options.device, chosen, options.precision)
    output.warn_of_units(localizer.place_map)
    if localizer.doubt:
        print(f"warning: {localizer.doubt}", file=sys.stderr)
    return localizer


def add_place_set(command: argparse.ArgumentParser, several: bool = False) -> None:
    """Arguments that say which collection of places; with `several`, `path` is a list of them."""
    add = command.add_argument
    text, nargs = "file or folder of the collection", "+" if several else None
    add("path", type=types.path, metavar="PATH", nargs=nargs, help=text)
    add("--split", metavar="NAME", help="train, val or test")
    add("--queries", type=types.path, metavar="DIR", help="folder or catalogue; PATH is then the database")
    add("--ground-truth", type=types.path, metavar="FILE", help="correct pairs: CSV (query,database) or JSON")
    text = "largest difference between the headings of a query and a correct place"
    add("--heading", type=types.positive, metavar="DEG", help=text)
    command.add_argument("--quiet", action="store_true", help="show no progress bar")


def open_place_set(options: argparse.Namespace, split: str | None) -> PlaceSet:
    from netvlad_core.data.place_sets.recognise import open_place_set

    return open_place_set(options.path, split, options.queries, options.ground_truth)


def network_path(weights: Path) -> Path:
    """File of a network; for a map folder the one that made the map."""
    from netvlad_core.mapping.place_map import PlaceMap

    return PlaceMap.open(weights).network_path if weights.is_dir() else weights


def add_device(group: Any) -> None:
    group.add_argument(
        "--device", default="auto", metavar="D", help="auto, cpu, cuda or cuda:1 (default: auto)"
    )


def add_dimension(add: Callable[..., Any]) -> None:
    text = "numbers stored of a descriptor if there are more places; 0: all (default: %(default)s)"
    add("--dimension", type=types.at_least(0), default=512, metavar="N", help=text)


def add_precision(group: Any) -> None:
    text = f"{', '.join(PRECISIONS)}; int8 needs an export (default: the fastest here)"
    choices = ("auto", *PRECISIONS)
    group.add_argument("--precision", choices=choices, default="auto", metavar="P", help=text)


def inputs_of(options: argparse.Namespace) -> list[Path | None]:
    """Files and folders that a command reads which localizes a drive."""
    return [options.source, options.trajectory, options.map, options.weights, options.params]
