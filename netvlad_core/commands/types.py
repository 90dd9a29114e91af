"""Types of arguments: what a word on the command line must be."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from netvlad_core.errors import NetvladError
from netvlad_core.files import user_path

if TYPE_CHECKING:
    from netvlad_core.data.geometry import Pose


def path(text: str, meaning: Callable[[str], Path] = user_path) -> Path:
    """Type of an argument: a file or folder, see `user_path`."""
    try:
        return meaning(text)
    except NetvladError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def output_file(text: str) -> Path:
    """Type of an argument: a file to write."""
    if text.endswith("/"):
        raise argparse.ArgumentTypeError(f"{text} names a folder; expected the name of a file to write")
    return path(text)


def weights_file(text: str) -> Path:
    """Type of an argument: a file, or `packaged` for the network of this package."""
    from netvlad_core.model.backbones import network_file

    return path(text, network_file)


def pose(text: str) -> Pose:
    """Type of an argument: a pose x y z qx qy qz qw, metres and quaternion, in one word."""
    from netvlad_core.data.geometry import Pose

    try:
        x, y, z, *quaternion = map(float, text.replace(",", " ").split())
        if len(quaternion) != 4:
            raise ValueError
        return Pose.from_values([x, y, z], quaternion)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected x y z qx qy qz qw, found {text!r}") from None
    except NetvladError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def positive(text: str) -> float:
    """Type of an argument: a finite number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text}")
    return value


def share(text: str) -> float:
    """Type of an argument: a number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, found {text}")
    return value


def at_least(minimum: int) -> Callable[[str], int]:
    """Type of an argument: a whole number, not below the minimum."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < minimum:
            raise argparse.ArgumentTypeError(f"expected a whole number from {minimum}, found {text}")
        return int(text)

    return parse
