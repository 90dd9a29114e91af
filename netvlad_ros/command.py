"""Run a subcommand of `netvlad` as an executable of `ros2 run`."""

import sys

from netvlad_core import cli
from netvlad_ros.process import without_ros_arguments


def run(subcommand: str) -> int:
    """Call `netvlad SUBCOMMAND` with the arguments of this process; returns the exit status."""
    return cli.main([subcommand, *without_ros_arguments(sys.argv[1:])])
