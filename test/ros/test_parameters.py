"""Parameters are declared once; the node, the file of defaults and the declarations agree."""

from __future__ import annotations

from pathlib import Path
from time import time_ns

import pytest
import yaml

pytest.importorskip("rclpy")
from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import DescribeParameters

from netvlad_core.localization.localizer_options import LocalizerOptions
from netvlad_core.settings import settings_of
from netvlad_ros import loop_closure_parameters
from netvlad_ros.parameters import PARAMETERS
from support.robot import raw

_ROOT = Path(__file__).resolve().parents[2]
_TYPES = {
    str: ParameterType.PARAMETER_STRING,
    bool: ParameterType.PARAMETER_BOOL,
    int: ParameterType.PARAMETER_INTEGER,
    float: ParameterType.PARAMETER_DOUBLE,
    list: ParameterType.PARAMETER_DOUBLE_ARRAY,
}


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda parameter: parameter.name)
def test_parameter_is_described_and_a_number_has_a_range_around_its_default(parameter):
    assert parameter.description.endswith(".")
    if type(parameter.default) in (int, float):
        assert parameter.lowest is not None
        assert parameter.highest is not None
        assert parameter.lowest <= parameter.default <= parameter.highest
    if parameter.choices:
        assert parameter.default in parameter.choices


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("localize.yaml", PARAMETERS), ("loop_closure.yaml", loop_closure_parameters.PARAMETERS)],
)
def test_file_holds_the_defaults_of_the_code(name, parameters):
    text = (_ROOT / "config" / name).read_text()
    values = yaml.safe_load(text)["/**"]["ros__parameters"]
    # Details of the method have their defaults in the code alone.
    expected = {parameter.name: parameter.default for parameter in parameters if "." not in parameter.name}
    assert values == expected
    types = {name: type(value) for name, value in expected.items()}
    assert {name: type(value) for name, value in values.items()} == types


def test_every_setting_of_the_core_is_a_parameter():
    declared = {parameter.name: parameter for parameter in PARAMETERS}
    for name, setting in settings_of(LocalizerOptions()).items():
        assert declared[name].default == setting.default
        assert declared[name].is_live == (name != "verification")
        assert declared[name].formerly == setting.formerly


@pytest.mark.parametrize("value", [[-2.0, 3.0], [-1.5, 4.0]])
def test_setting_of_several_numbers_reaches_the_core(robot, street, value):
    assert robot.set_parameter("sequence.gap_range", value) is None
    robot.ask(raw(street.queries[0], time_ns()))
    assert robot.node.localizer.options.sequence.gap_range == tuple(value)


def test_live_threshold_keeps_the_index_and_the_drive(robot, street):
    robot.ask(raw(street.queries[0], time_ns()))
    before = robot.node.localizer
    assert robot.set_parameter("min_belief", 0.8) is None
    robot.ask(raw(street.queries[1], time_ns()))
    assert robot.node.localizer.options.sequence.min_belief == 0.8
    assert robot.node.localizer.index is before.index
    assert robot.set_parameter("min_belief", 0.9) is None


def test_only_changed_values_are_told_to_take_effect_later(robot, capfd):
    assert robot.set_parameter("map_frame", robot.node.value("map_frame")) is None
    assert "takes effect" not in capfd.readouterr().err
    assert robot.set_parameter("base_frame", "base") is None
    assert "base_frame: takes effect" in capfd.readouterr().err
    assert robot.set_parameter("base_frame", "base_link") is None


def test_unknown_parameter_is_named_with_the_one_that_was_meant(start, map_path, capfd):
    start(map=map_path, min_beleif=0.5, nosuch=1)
    log = capfd.readouterr().err
    assert "no parameter 'min_beleif'; its value is ignored; did you mean min_belief?" in log
    assert "no parameter 'nosuch'" in log


def test_running_node_describes_its_parameters(robot):
    names = [parameter.name for parameter in PARAMETERS]
    descriptors = robot.call(DescribeParameters, "describe_parameters", names=names).descriptors
    for parameter, descriptor in zip(PARAMETERS, descriptors, strict=True):
        assert descriptor.description.startswith(parameter.description)
        assert descriptor.description.endswith("Live.") == parameter.is_live
        assert descriptor.read_only == parameter.is_fixed
        assert descriptor.type == _TYPES[type(parameter.default)]
        ranges = [*descriptor.integer_range, *descriptor.floating_point_range]
        bounds = [(r.from_value, r.to_value) for r in ranges]
        has_none = parameter.lowest is None or isinstance(parameter.default, list)
        assert bounds == ([] if has_none else [(parameter.lowest, parameter.highest)])
        for choice in parameter.choices:
            assert choice in descriptor.additional_constraints


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("top_k", 0),
        ("top_k", 1001),
        ("top_k", 2.5),
        ("top_k", "many"),
        ("min_similarity", 1.5),
        ("min_similarity", float("nan")),
        ("min_agreement", -0.1),
        ("image_timeout", 0.0),
        ("image_transport", "theora"),
        ("autostart", "yes"),
        ("autostart", False),
        ("sequence.gap_range", [1.0]),
    ],
)
def test_wrong_value_is_refused_with_a_reason(robot, name, value):
    before = robot.node.value(name)
    assert robot.set_parameter(name, value)
    assert robot.node.value(name) == before


def test_right_value_is_taken_and_one_at_the_bound_too(robot):
    for name, value in [("top_k", 1000), ("min_similarity", 1.0), ("image_transport", "compressed")]:
        before = robot.node.get_parameter(name).value
        assert robot.set_parameter(name, value) is None
        assert robot.node.get_parameter(name).value == value
        assert robot.set_parameter(name, before) is None
