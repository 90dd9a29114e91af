"""Arguments and output that several subcommands share."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netvlad_core.data.radii import CORRECT_WITHIN
from netvlad_core.errors import NetvladError
from netvlad_core.files import user_path
from netvlad_core.model.spec import PRECISIONS, NetworkSpec

if TYPE_CHECKING:
    from netvlad_core.data.frames import FrameSource
    from netvlad_core.data.place_sets.place_set import PlaceSet
    from netvlad_core.localization.localizer import Localizer, LocalizerOptions
    from netvlad_core.mapping.place_map import PlaceMap


# Exit status of a command that is done, but could not use most of its input.
MOSTLY_LEFT_OUT = 3


def add_source(command: argparse.ArgumentParser, is_optional: bool = False, flag: str | None = None) -> None:
    """Arguments that say where images come from: a position, or a flag by which it must be named."""
    how: dict[str, Any] = {"nargs": "?"} if is_optional else {}
    if flag:
        how = {"dest": "source", "required": True}
    command.add_argument(
        flag or "source",
        metavar="SOURCE",
        type=path,
        help="bag, catalogue CSV (image,x,y,...) or folder of images",
        **how,
    )
    bag = command.add_argument_group("bags")
    bag.add_argument("--image-topic", metavar="T", help="images (default: the only image topic)")
    bag.add_argument(
        "--pose-topic",
        metavar="T",
        help="odometry, poses, path, GPS fixes or /tf (default: the only pose topic)",
    )
    bag.add_argument("--trajectory", type=path, metavar="TUM", help="TUM file with poses, instead of a topic")
    bag.add_argument(
        "--base-frame", default="base_link", metavar="F", help="frame of the robot (default: %(default)s)"
    )
    bag.add_argument("--map-frame", metavar="F", help="root frame of the poses in /tf")
    bag.add_argument(
        "--extrinsics",
        type=float,
        nargs=7,
        metavar=("X", "Y", "Z", "QX", "QY", "QZ", "QW"),
        help="pose of the recorded frame in the base frame (default: that of TF)",
    )
    bag.add_argument(
        "--recording-time",
        action="append",
        default=[],
        metavar="T",
        help="topic whose stamps are of another clock: the time of recording stands for them",
    )
    command.add_argument("--quiet", action="store_true", help="no progress bar")


def open_source(options: argparse.Namespace, poses_required: bool = True) -> FrameSource:
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
            poses_required=poses_required,
            recording_time=tuple(options.recording_time),
        ),
    )


def add_fit(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("network to fit")
    group.add_argument("--backbone", default="efficientnet_lite0", help="(default: %(default)s)")
    group.add_argument(
        "--backbone-weights",
        type=path,
        metavar="FILE",
        help="checkpoint of the backbone; imagenet: the installed one (default: the package's own)",
    )
    group.add_argument("--clusters", type=at_least(2), default=64, metavar="K", help="(default: %(default)s)")
    group.add_argument(
        "--whiten", type=at_least(1), metavar="D", help="whiten the descriptor to D dimensions"
    )
    group.add_argument(
        "--assignment-bias", action="store_true", help="assign by distance (equation 2), not by direction"
    )
    group.add_argument("--no-intra-normalization", action="store_true", help="skip intra-normalization")
    group.add_argument("--seed", type=at_least(0), default=0, metavar="N", help="(default: %(default)s)")
    add_device(group)


def fit_options(options: argparse.Namespace) -> dict[str, Any]:
    """Keyword arguments of `fit_network` and `BuildOptions`."""
    return {
        "spec": NetworkSpec.of_backbone(
            options.backbone,
            clusters=options.clusters,
            assignment_bias=options.assignment_bias,
            intra_normalization=not options.no_intra_normalization,
            whitened_dimension=options.whiten,
        ),
        "backbone_weights": options.backbone_weights,
        "seed": options.seed,
        "device": options.device,
    }


def add_localization(command: argparse.ArgumentParser, is_calibration: bool = False) -> None:
    """Arguments that say in which map images are localized, and how; a calibration has `--map`."""
    how: dict[str, Any] = {"required": True} if is_calibration else {}
    command.add_argument(
        "--map" if is_calibration else "map", metavar="MAP", type=path, help="map folder", **how
    )
    command.add_argument(
        "--weights", type=weights_file, metavar="FILE", help="checkpoint, if not where the map says"
    )
    command.add_argument(
        "--params",
        type=path,
        metavar="YAML",
        help="parameter file, the same as of the localizer node; the command line wins",
    )
    command.add_argument(
        "--verify",
        action="store_true",
        help="compare local features with the images in the map (slower, more precise)",
    )
    if not is_calibration:
        command.add_argument(
            "--single-image",
            action="store_true",
            help="judge each image by itself, not as part of a drive whose poses serve as odometry",
        )
        command.add_argument(
            "--min-similarity",
            type=float,
            metavar="S",
            help="single image: LOST if the best similarity is below (default: the map's)",
        )
    add_device(command)
    add_precision(command)


def add_threshold(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--threshold",
        type=positive,
        default=CORRECT_WITHIN,
        metavar="M",
        help="a place this near is correct (default: %(default)g)",
    )


def localizer_options(options: argparse.Namespace) -> LocalizerOptions:
    """Options of the localizer: the defaults, the parameter file over them, the command line over both."""
    from netvlad_core.localization.localizer import LocalizerOptions
    from netvlad_core.settings import read_parameters, settings_of, with_settings

    usual = LocalizerOptions()
    values = read_parameters(options.params, settings_of(usual)) if options.params else {}
    if getattr(options, "min_similarity", None) is not None:
        values["min_similarity"] = options.min_similarity
    if getattr(options, "single_image", False):
        values["sequence_filter"] = False
    if options.verify:
        values["verification"] = True
    return with_settings(usual, values)


def open_localizer(options: argparse.Namespace) -> Localizer:
    from netvlad_core.localization.localizer import Localizer

    chosen = localizer_options(options)
    localizer = Localizer.open(options.map, options.weights, options.device, chosen, options.precision)
    warn_of_units(localizer.place_map)
    return localizer


def warn_of_units(place_map: PlaceMap) -> None:
    """Say so if the positions of a map can hardly be metres."""
    from netvlad_core.data.judges.positions import doubts_about_units

    if place_map.has_poses and (doubt := doubts_about_units(place_map.poses[:, :3])):
        print(f"warning: {place_map.path}: {doubt}", file=sys.stderr)


def add_place_set(command: argparse.ArgumentParser) -> None:
    """Arguments that say which collection of places."""
    command.add_argument("path", type=path, metavar="PATH", help="file or folder of the collection")
    command.add_argument("--split", metavar="NAME", help="train, val or test")
    command.add_argument(
        "--queries", type=path, metavar="DIR", help="folder or catalogue; PATH is then the database"
    )
    command.add_argument(
        "--ground-truth", type=path, metavar="FILE", help="correct pairs: CSV (query,database) or JSON"
    )


def open_place_set(options: argparse.Namespace, split: str | None) -> PlaceSet:
    from netvlad_core.data.place_sets.recognise import open_place_set

    return open_place_set(options.path, split, options.queries, options.ground_truth)


def network_path(weights: Path) -> Path:
    """File of a network; for a map folder the one that made the map."""
    from netvlad_core.mapping.place_map import PlaceMap

    return PlaceMap.open(weights).network_path if weights.is_dir() else weights


def add_device(group: Any) -> None:
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 (default: %(default)s)")


def add_precision(group: Any) -> None:
    group.add_argument(
        "--precision",
        choices=("auto", *PRECISIONS),
        default="auto",
        metavar="P",
        help=f"{', '.join(PRECISIONS)}; int8 needs an export (default: the weights' own)",
    )


def path(text: str) -> Path:
    """Type of an argument: a file or folder, see `user_path`."""
    try:
        return user_path(text)
    except NetvladError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def output_file(text: str) -> Path:
    """Type of an argument: a file to write."""
    if text.endswith("/"):
        raise argparse.ArgumentTypeError(f"{text} names a folder; expected the name of a file to write")
    return path(text)


def weights_file(text: str) -> Path:
    """Type of an argument: a file, or `packaged` for the network of this package."""
    from netvlad_core.model.packaged import PACKAGED_NETWORK

    return PACKAGED_NETWORK if text == "packaged" else path(text)


def positive(text: str) -> float:
    """Type of an argument: a finite number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text}")
    return value


def at_least(minimum: int) -> Callable[[str], int]:
    """Type of an argument: a whole number, not below the minimum."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < minimum:
            raise argparse.ArgumentTypeError(f"expected a whole number from {minimum}, found {text}")
        return int(text)

    return parse


def print_counts(title: str, counts: Mapping[str, int]) -> None:
    """One line `title: 3 reason, 1 other reason`; nothing if there are none."""
    if counts:
        print(f"{title}: " + ", ".join(f"{count} {reason}" for reason, count in counts.items()))


def inputs_of(options: argparse.Namespace) -> list[Path | None]:
    """Files and folders that a command reads which localizes a drive."""
    return [options.source, options.trajectory, options.map, options.weights, options.params]


def finish(
    used: int,
    left_out: Mapping[str, int],
    is_json: bool = False,
    total: int | None = None,
    remark: str = "",
) -> int:
    """Say what was left out, and warn on the last line if it is most of the input.

    Parameters
    ----------
    used, total : numbers of images; without a total each reason in `left_out` counts as one image.
    left_out : reasons and counts.
    remark : what is known about the cause, e.g. that of a `FrameSource`.

    Returns
    -------
    The exit status of the command: 0 or MOSTLY_LEFT_OUT.
    """
    if not is_json:
        print_counts("left out", left_out)
    total = used + sum(left_out.values()) if total is None else total
    if 2 * used >= total:
        return 0
    causes = "; ".join(f"{count} {reason}" for reason, count in Counter(left_out).most_common(3))
    said = "; ".join(filter(None, (causes, remark)))
    sys.stdout.flush()
    print(f"warning: {total - used} of {total} images were left out: {said}", file=sys.stderr)
    return MOSTLY_LEFT_OUT
