"""Care for maps.

Each action has an example in its own help. An output appears whole or not at all.

    netvlad map info maps/campus
"""

from __future__ import annotations

import argparse

from netvlad_core.commands import arguments

_ACTIONS = (
    "info", "validate", "merge", "extend", "prune", "split", "strip-images", "redescribe", "export",
    "upgrade",
)  # fmt: skip


def add_arguments(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    arguments.add_commands(actions, _ACTIONS, "netvlad_core.commands.maps")


def run(options: argparse.Namespace) -> None:
    """Each action has its own."""
