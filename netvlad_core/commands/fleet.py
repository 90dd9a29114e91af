"""Share the maps of many robots in one store, and find a robot in all of them.

A store is a folder, or a bucket such as s3://bucket/fleet, whose keys come from the environment
(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL). Each action has an example in its
own help.

    netvlad fleet push maps/campus --store /mnt/fleet --site campus
"""

from __future__ import annotations

import argparse

from netvlad_core.commands import arguments

_ACTIONS = ("push", "pull", "sites", "log", "find", "compact")


def add_arguments(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    arguments.add_commands(actions, _ACTIONS, "netvlad_core.commands.fleets")


def run(options: argparse.Namespace) -> None:
    """Each action has its own."""
