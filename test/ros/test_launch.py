"""The launch files load, declare what the programs take, and hand it on."""

from __future__ import annotations

import argparse
from dataclasses import replace
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

pytest.importorskip("launch_ros")
pytest.importorskip("rclpy")
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

from launch import LaunchContext
from netvlad_core.commands import build_map
from netvlad_ros import launching, loop_closure_parameters
from netvlad_ros.parameters import PARAMETERS
from netvlad_ros.process import CANNOT_START

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
    (node,) = _start_all(name, **given)
    return node


def _start_all(name: str, **given: str) -> list[dict[str, Any]]:
    module = _load(name)
    context = LaunchContext()
    context.launch_configurations.update(given)
    description = module.generate_launch_description()
    started: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launching, "Node", dict)
        patch.setattr(module, "Node", dict, raising=False)
        for action in description.entities:
            if isinstance(action, DeclareLaunchArgument):
                action.execute(context)
            elif isinstance(action, OpaqueFunction):
                started += action.execute(context)
    return started


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("localize.launch.py", PARAMETERS), ("loop_closure.launch.py", loop_closure_parameters.PARAMETERS)],
)
def test_every_parameter_is_an_argument(name, parameters):
    declared = _declared(name)
    for parameter in parameters:
        if "." not in parameter.name:
            assert parameter.description in declared[parameter.name].description
    assert all(argument.description for argument in declared.values())


@pytest.mark.parametrize(
    ("name", "value"), [("autostart", "perhaps"), ("log_level", "loud"), ("image_transport", "theora")]
)
def test_value_that_is_no_choice_is_refused(name, value):
    assert value not in _declared("localize.launch.py")[name].choices
    with pytest.raises(RuntimeError, match=name):
        _start("localize.launch.py", **{name: value})


def test_loop_closer_gets_its_file_and_arguments():
    node = _start("loop_closure.launch.py", keyframe_distance="2", respawn="true", tf_topic="tf")
    assert (node["executable"], node["name"], node["respawn"]) == ("loop_closure_node", "loop_closer", True)
    file, given = node["parameters"]
    assert Path(file).name == "loop_closure.yaml"
    assert given == {"use_sim_time": False, "keyframe_distance": 2.0}
    assert ("/tf", "tf") in node["remappings"]


def test_node_that_dies_is_started_again_unless_it_cannot_start():
    node = _start("localize.launch.py", respawn_delay="5")
    assert (node["respawn"], node["respawn_delay"]) == (True, 5.0)
    assert _start("localize.launch.py", respawn="false")["respawn"] is False
    for status, count in ((0, 0), (1, 0), (-9, 0), (CANNOT_START, 1)):
        event = SimpleNamespace(returncode=status, action=node)
        assert len(node["on_exit"](event, LaunchContext())) == count


def test_rviz_shows_the_topics_of_the_namespace_in_the_frame_of_the_map(tmp_path, street_map):
    replace(street_map.header, frame_id="odom").write(tmp_path / "map.json")
    given = {
        "rviz": "true",
        "namespace": "robot1",
        "tf_topic": "tf",
        "map": str(tmp_path),
        "use_sim_time": "true",
    }
    rviz, _ = _start_all("localize.launch.py", **given)
    assert (rviz["package"], rviz["parameters"]) == ("rviz2", [{"use_sim_time": True}])
    assert (rviz["namespace"], rviz["remappings"]) == ("robot1", [("/tf", "tf")])
    view = yaml.safe_load(Path(rviz["arguments"][1]).read_text())["Visualization Manager"]
    assert view["Global Options"]["Fixed Frame"] == "odom"
    topics = [display["Topic"]["Value"] for display in view["Displays"] if "Topic" in display]
    assert len(topics) == 5
    assert all(topic.startswith("/robot1/localizer/") for topic in topics)


def test_rviz_shows_a_view_of_ones_own(tmp_path):
    (tmp_path / "own.rviz").write_text("Fixed Frame: map\nTopic: /localizer/path")
    given = {"rviz": "true", "map_frame": "earth", "rviz_config": str(tmp_path / "own.rviz")}
    rviz, _ = _start_all("localize.launch.py", **given)
    assert Path(rviz["arguments"][1]).read_text() == "Fixed Frame: earth\nTopic: /localizer/path"


def test_localizer_gets_the_file_and_nothing_else_by_default():
    file, given = _start("localize.launch.py")["parameters"]
    assert Path(file).name == "localize.yaml"
    assert Path(file).is_file()
    assert given == {"use_sim_time": False}


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


@pytest.mark.parametrize(("name", "text"), [("top_k", "many"), ("top_k", "2.5"), ("min_belief", "sure")])
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


def _beside_nav2(**given: str) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """What nav2.launch.py hands on to localize.launch.py, and the other nodes that it starts."""
    module, context = _load("nav2.launch.py"), LaunchContext()
    context.launch_configurations.update(given)
    nodes: list[dict[str, Any]] = []

    def note(**made: Any) -> OpaqueFunction:
        nodes.append(made)
        return OpaqueFunction(function=list)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Node", note)
        entities = module.generate_launch_description().entities
    for argument in entities:
        if isinstance(argument, DeclareLaunchArgument):
            argument.execute(context)
    (localize,) = (entity for entity in entities if isinstance(entity, IncludeLaunchDescription))
    described = localize.launch_description_source.get_launch_description(context)
    known = {argument.name: argument for argument in described.get_launch_arguments()}
    handed = {
        name: perform_substitutions(context, normalize_to_list_of_substitutions(value))
        for name, value in localize.launch_arguments
    }
    assert all(value in (known[name].choices or [value]) for name, value in handed.items())
    return handed, [node for node in nodes if node["condition"].evaluate(context)]


def test_beside_nav2_the_localizer_tells_amcl_and_comes_up_by_itself():
    assert _beside_nav2() == (
        {"publish_initialpose": "true", "autostart": "true", "respawn": "true"},
        [],
    )


def test_a_manager_of_nav2_waits_for_no_bond():
    handed, (manager,) = _beside_nav2(lifecycle_manager="true")
    assert handed == {"publish_initialpose": "true", "autostart": "false", "respawn": "false"}
    assert manager["parameters"][0]["node_names"] == ["localizer"]
    assert manager["parameters"][0]["bond_timeout"] == 0.0
