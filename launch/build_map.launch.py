"""Build a map from a bag: `ros2 launch netvlad_ros build_map.launch.py source:=drive output:=maps/campus`.

Every argument is one of `ros2 run netvlad_ros build_map --help`; what is not given keeps its default.
"""

import argparse

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from netvlad_core.commands import build_map

_NOT_GIVEN = ""


def generate_launch_description() -> LaunchDescription:
    """Declare every argument, then start the builder."""
    declared = [_declared(action) for action in _actions()]
    return LaunchDescription([*declared, OpaqueFunction(function=_start_builder)])


def _actions() -> list[argparse.Action]:
    """What the command takes, those that must be given first."""
    parser = argparse.ArgumentParser(add_help=False)
    build_map.add_arguments(parser)
    return sorted(parser._actions, key=lambda action: not action.required)  # argparse has no public list


def _declared(action: argparse.Action) -> DeclareLaunchArgument:
    text = (action.help or action.dest) % vars(action)
    text = f"{text[0].upper()}{text[1:]}."
    if action.required:
        return DeclareLaunchArgument(action.dest, description=text)
    choices = ["true", "false"] if action.nargs == 0 else list(action.choices or ())
    default = "false" if action.nargs == 0 else _NOT_GIVEN
    allowed = [*choices, default] if choices else None
    return DeclareLaunchArgument(action.dest, default_value=default, choices=allowed, description=text)


def _start_builder(context: LaunchContext) -> list[Node]:
    arguments: list[str] = []
    for action in _actions():
        value = LaunchConfiguration(action.dest).perform(context)
        if action.nargs == 0:
            arguments += [action.option_strings[-1]] if value == "true" else []
        elif value != _NOT_GIVEN:
            values = [value] if action.nargs is None else value.split()
            arguments += [*action.option_strings[-1:], *values]
    return [
        Node(
            package="netvlad_ros",
            executable="build_map",
            arguments=arguments,
            output="screen",
            emulate_tty=True,  # for the progress bar
        )
    ]
