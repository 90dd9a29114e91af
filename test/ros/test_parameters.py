"""Parameters are declared once; the node, the file of defaults and the declarations agree."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy")
from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import DescribeParameters

from netvlad_core.localization.localizer import LocalizerOptions
from netvlad_ros.parameters import MAPS_OWN_SIMILARITY, PARAMETERS

_ROOT = Path(__file__).resolve().parents[2]
_TYPES = {
    str: ParameterType.PARAMETER_STRING,
    bool: ParameterType.PARAMETER_BOOL,
    int: ParameterType.PARAMETER_INTEGER,
    float: ParameterType.PARAMETER_DOUBLE,
}


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda parameter: parameter.name)
def test_parameter_is_described_and_a_number_has_a_range_around_its_default(parameter):
    assert parameter.description.endswith(".")
    if type(parameter.default) in (int, float):
        assert parameter.lowest <= parameter.default <= parameter.highest
    if parameter.choices:
        assert parameter.default in parameter.choices


def test_file_holds_the_defaults_of_the_code():
    text = (_ROOT / "config" / "localize.yaml").read_text()
    values = yaml.safe_load(text)["/**"]["ros__parameters"]
    assert values == {parameter.name: parameter.default for parameter in PARAMETERS}
    assert {name: type(value) for name, value in values.items()} == {
        parameter.name: type(parameter.default) for parameter in PARAMETERS
    }


def test_defaults_are_those_of_the_core():
    defaults = {parameter.name: parameter.default for parameter in PARAMETERS}
    options = LocalizerOptions()
    for name in ("top_k", "min_agreement", "agreement_radius"):
        assert defaults[name] == getattr(options, name)
    assert options.min_similarity is None
    assert defaults["min_similarity"] == MAPS_OWN_SIMILARITY


def test_running_node_describes_its_parameters(robot):
    names = [parameter.name for parameter in PARAMETERS]
    descriptors = robot.call(DescribeParameters, "describe_parameters", names=names).descriptors
    for parameter, descriptor in zip(PARAMETERS, descriptors, strict=True):
        assert descriptor.description == parameter.description
        assert descriptor.type == _TYPES[type(parameter.default)]
        ranges = [*descriptor.integer_range, *descriptor.floating_point_range]
        bounds = [(r.from_value, r.to_value) for r in ranges]
        assert bounds == ([] if parameter.lowest is None else [(parameter.lowest, parameter.highest)])
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
    ],
)
def test_wrong_value_is_refused_with_a_reason(robot, name, value):
    before = robot.node.value(name)
    assert robot.set_parameter(name, value)
    assert robot.node.value(name) == before


def test_right_value_is_taken_and_one_at_the_bound_too(robot):
    for name, value in [("top_k", 1000), ("min_similarity", 1.0), ("image_transport", "compressed")]:
        before = robot.node.value(name)
        assert robot.set_parameter(name, value) is None
        assert robot.node.value(name) == value
        assert robot.set_parameter(name, before) is None
