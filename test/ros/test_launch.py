"""The launch files load, declare what the programs take, and hand it on."""

from __future__ import annotations

import argparse
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("launch_ros")
pytest.importorskip("rclpy")
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.utilities import perform_substitutions

from launch import LaunchContext
from netvlad_core.commands import build_map
from netvlad_ros.parameters import PARAMETERS

_LAUNCH = Path(__file__).resolve().parents[2] / "launch"
_CAMERA = "/camera/image_raw"


def _load(name: str) -> ModuleType:
    loader = SourceFileLoader(name.replace(".", "_"), str(_LAUNCH / name))
    module = module_from_spec(spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def _declared(name: str) -> dict[str, DeclareLaunchArgument]:
    description = _load(name).generate_launch_description()
    return {argument.name: argument for argument in description.get_launch_arguments()}


def _start(name: str, **given: str) -> dict[str, Any]:
    """Do what `ros2 launch` does up to the start of the node; returns what the node is made of."""
    module = _load(name)
    context = LaunchContext()
    context.launch_configurations.update(given)
    description = module.generate_launch_description()
    module.Node = dict
    started: list[Any] = []
    for action in description.entities:
        if isinstance(action, DeclareLaunchArgument):
            action.execute(context)
        elif isinstance(action, OpaqueFunction):
            started += action.execute(context)
    (node,) = started
    if "parameters" in node:
        file, values = node["parameters"]
        node["parameters"] = (
            perform_substitutions(context, [file]),
            {
                key: value if isinstance(value, bool | int | float | str) else value.perform(context)
                for key, value in values.items()
            },
        )
    return node


def test_every_parameter_of_the_localizer_is_an_argument():
    declared = _declared("localize.launch.py")
    for parameter in PARAMETERS:
        assert parameter.description in declared[parameter.name].description
    assert all(argument.description for argument in declared.values())


def test_localizer_gets_the_file_and_nothing_else_by_default():
    file, given = _start("localize.launch.py")["parameters"]
    assert Path(file).name == "localize.yaml"
    assert Path(file).is_file()
    assert given == {"use_sim_time": "false"}


def test_arguments_come_after_the_file_and_have_the_type_of_the_parameter(tmp_path):
    node = _start(
        "localize.launch.py",
        map="2024",
        top_k="3",
        agreement_radius="5",
        autostart="false",
        image_topic=_CAMERA,
        odom_topic="/wheel/odom",
        params_file=str(tmp_path / "mine.yaml"),
    )
    file, given = node["parameters"]
    assert file == str(tmp_path / "mine.yaml")
    expected = {"map": "2024", "top_k": 3, "agreement_radius": 5.0, "autostart": False}
    for name, value in expected.items():
        assert given[name] == value
        assert type(given[name]) is type(value)
    assert dict(node["remappings"]) == {
        "image": _CAMERA,
        "image/compressed": f"{_CAMERA}/compressed",
        "odom": "/wheel/odom",
    }


@pytest.mark.parametrize(("name", "text"), [("top_k", "many"), ("top_k", "2.5"), ("autostart", "perhaps")])
def test_argument_of_a_wrong_type_is_refused_by_name(name, text):
    with pytest.raises(ValueError, match=name):
        _start("localize.launch.py", **{name: text})


def test_every_option_of_build_map_is_an_argument():
    parser = argparse.ArgumentParser(add_help=False)
    build_map.add_arguments(parser)
    options = {action.dest for action in parser._actions}
    assert options == set(_declared("build_map.launch.py"))


def test_builder_gets_what_is_given_and_understands_it():
    node = _start(
        "build_map.launch.py",
        source="a drive",
        output="maps/campus",
        pose_topic="/odom",
        extrinsics="0 0 1 0 0 0 -1",
        distance="2.5",
        no_poses="true",
    )
    parser = argparse.ArgumentParser()
    build_map.add_arguments(parser)
    options = parser.parse_args(node["arguments"])
    assert options.source == Path("a drive")
    assert options.output == Path("maps/campus")
    assert (options.pose_topic, options.distance, options.no_poses) == ("/odom", 2.5, True)
    assert options.extrinsics == [0, 0, 1, 0, 0, 0, -1]
    assert (options.quiet, options.every_image, options.image_topic) == (False, False, None)


def test_builder_gets_no_option_that_is_not_given():
    node = _start("build_map.launch.py", source="drive", output="map")
    assert node["arguments"] == ["drive", "--output", "map"]
