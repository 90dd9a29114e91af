"""Run a subcommand of `netvlad` as an executable of `ros2 run`."""

import sys

from netvlad_core import cli


def without_ros_arguments(arguments: list[str]) -> list[str]:
    """Drop what ros2 adds for nodes: all between `--ros-args` and `--` or the end of the line."""
    kept: list[str] = []
    inside = False
    for argument in arguments:
        if argument == "--ros-args":
            inside = True
        elif inside and argument == "--":
            inside = False
        elif not inside:
            kept.append(argument)
    return kept


def run(subcommand: str) -> int:
    """Call `netvlad SUBCOMMAND` with the arguments of this process; returns the exit status."""
    return cli.main([subcommand, *without_ros_arguments(sys.argv[1:])])
