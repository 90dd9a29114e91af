"""Settings declared once: their names, their checks, and the ROS parameter files that hold them."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from netvlad_core.errors import SettingError
from netvlad_core.localization.localizer_options import LocalizerOptions
from netvlad_core.localization.loops.loop_options import LoopClosureOptions
from netvlad_core.settings import (
    group,
    parameters_text,
    read_parameters,
    setting,
    settings_of,
    with_settings,
)


@dataclass(frozen=True)
class Filter:
    min_belief: float = setting(0.9, "Probability from which.", 0.05, 1.0, name="min_belief")
    sharpness: float = setting(0.6, "Evidence.", 0.0, source="0.3 to 1.2 tried")
    gap_range: tuple[float, float] = setting((-1.5, 4.0), "Of the gap.", -10.0, 10.0)
    speed: float | None = setting(None, "0: that of the map.", 0.0, none=0.0)


@dataclass(frozen=True)
class Geometry:
    min_inliers: int = setting(30, "Features that agree.", 8, 10_000, name="min_inliers")
    features: int = setting(1000, "Features of an image.", 10)


@dataclass(frozen=True)
class Options:
    top_k: int = setting(10, "Matches.", 1, 1000)
    min_similarity: float | None = setting(None, "-1: the map's.", -1.0, 1.0, none=-1.0)
    transport: str = setting("raw", "Images.", choices=("raw", "compressed"))
    sequence: Filter = group("sequence", Filter())
    verification: Geometry | None = group(
        "geometry", Geometry(), setting(False, "Compare features.", name="verification")
    )


_KNOWN = settings_of(Options())


def _read(folder: Path, text: str, **more: str) -> dict[str, object]:
    path = folder / "parameters.yaml"
    path.write_text(text)
    return read_parameters(path, _KNOWN, **more)


def test_names_are_flat_or_those_of_their_group() -> None:
    assert list(_KNOWN) == [
        "top_k", "min_similarity", "transport", "min_belief", "sequence.sharpness", "sequence.gap_range",
        "sequence.speed", "verification", "min_inliers", "geometry.features",
    ]  # fmt: skip
    assert [type(one.default) for one in _KNOWN.values()] == [
        int, float, str, float, float, list, float, bool, int, int,
    ]  # fmt: skip
    assert _KNOWN["sequence.sharpness"].source == "0.3 to 1.2 tried"
    assert "closures.features" in settings_of(Geometry(), "closures")


@dataclass(frozen=True)
class Chosen:
    """A switch of more than two states, which was one of two."""

    verification: Geometry | None = group(
        "geometry",
        Geometry(),
        setting(
            "some", "Compare.", name="verification", choices=("some", "all", "none"),
            formerly=((True, "all"), (False, "none")),
        ),
        lambda one: "none" if one is None else "all" if one.features else "some",
        lambda one, state: None if state == "none" else replace(one, features=10 if state == "all" else 0),
    )  # fmt: skip


def test_a_switch_may_have_more_than_two_states() -> None:
    assert Chosen().verification == Geometry(features=0)
    assert settings_of(Chosen())["verification"].default == "some"
    for value, features in (("all", 10), ("some", 0), (True, 10)):
        changed = with_settings(Chosen(), {"verification": value, "min_inliers": 40})
        assert changed.verification == Geometry(40, features)
    for value in ("none", False):
        changed = with_settings(Chosen(), {"verification": value})
        assert settings_of(changed)["verification"].default == "none"
    with pytest.raises(SettingError, match="verification is 1; expected one of some, all, none"):
        with_settings(Chosen(), {"verification": 1})


def test_defaults_are_those_of_the_options_at_hand() -> None:
    found = settings_of(Options(min_similarity=0.4, verification=Geometry(min_inliers=40)))
    assert (found["min_similarity"].default, found["verification"].default) == (0.4, True)
    assert (found["min_inliers"].default, _KNOWN["min_inliers"].default) == (40, 30)


def test_options_are_made_from_names_and_stay_as_they_are() -> None:
    before = Options()
    after = with_settings(
        before,
        {
            "top_k": 3,
            "min_similarity": -1.0,
            "sequence.gap_range": [-1.0, 2.0],
            "sequence.speed": 2.5,
            "verification": True,
            "geometry.features": 500,
            "image_topic": "/camera",
        },
    )
    assert after == Options(3, None, "raw", Filter(gap_range=(-1.0, 2.0), speed=2.5), Geometry(features=500))
    assert before == Options()
    assert with_settings(after, {"verification": False, "sequence.speed": 0.0}) == Options(
        3, None, "raw", Filter(gap_range=(-1.0, 2.0)), None
    )


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"min_belief": 1.5}, "min_belief is 1.5; expected a number from 0.05 to 1.0"),
        ({"min_belief": 1}, "min_belief is the whole number 1; write it as 1.0"),
        ({"min_belief": float("nan")}, "min_belief is nan; expected a number from 0.05 to 1.0"),
        ({"sequence.sharpness": -0.1}, "sequence.sharpness is -0.1; expected a number from 0.0"),
        ({"top_k": 0}, "top_k is 0; expected a whole number from 1 to 1000"),
        ({"top_k": 2.0}, "top_k is 2.0; expected a whole number from 1 to 1000"),
        ({"top_k": True}, "top_k is True; expected a whole number"),
        ({"top_k": [3]}, r"top_k is \[3\]; expected a whole number"),
        ({"sequence.gap_range": 1.0}, "gap_range is 1.0; expected a list of 2 numbers"),
        ({"verification": 1}, "verification is 1; expected true or false"),
        ({"transport": "theora"}, "transport is 'theora'; expected one of raw, compressed"),
        ({"sequence.gap_range": [1.0]}, "a list of 2 numbers, each with a decimal point from -10.0 to 10.0"),
        ({"sequence.gap_range": [0.0, 11.0]}, r"gap_range is \[0.0, 11.0\]; expected"),
        ({"geometry.features": 3}, "geometry.features is 3; expected a whole number from 10"),
    ],
)
def test_a_wrong_value_gets_one_sentence(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(SettingError, match=sentence):
        with_settings(Options(), values)


@pytest.mark.parametrize(
    "text",
    [
        "/**:\n  ros__parameters:\n    min_belief: 0.7\n    sequence:\n      sharpness: 1e-1\n",
        "/**:\n  ros__parameters: {min_belief: 0.7, sequence.sharpness: 0.1}\n",
        "localizer:\n  ros__parameters: {min_belief: 0.7, sequence: {sharpness: 0.1}}\n",
        "/robot1/localizer:\n  ros__parameters: {min_belief: 0.7, sequence.sharpness: 1.0E-1}\n",
        "robot1:\n  localizer:\n    ros__parameters: {min_belief: 0.7, sequence.sharpness: .1}\n",
        "/localizer:\n  ros__parameters: {min_belief: 0.7, sequence.sharpness: 0.1}\n"
        "/**:\n  ros__parameters: {min_belief: 0.2}\n",
        "amcl:\n  ros__parameters: {min_belief: 7, max_particles: 3}\n"
        "/**:\n  ros__parameters: {use_sim_time: true, map: m, min_belief: 0.7, sequence.sharpness: 0.1}\n",
        "/a/localizer: &one\n  ros__parameters: {min_belief: 0.7, sequence.sharpness: 0.1}\n"
        "/b/localizer: *one\n",
    ],
)
def test_every_form_of_a_parameter_file_is_read(tmp_path: Path, text: str) -> None:
    assert _read(tmp_path, text) == {"min_belief": 0.7, "sequence.sharpness": 0.1}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("/**:\n  ros__parameters: {min_beleif: 0.7}\n", "no setting min_beleif; did you mean min_belief?"),
        ("/**:\n  ros__parameters: {sharpness: 0.7}\n", "did you mean sequence.sharpness?"),
        ("/**:\n  ros__parameters: {sequence: {min_belief: 0.7}}\n", "did you mean min_belief?"),
        ("/**:\n  ros__parameters: {geometry: {feature: 7}}\n", "did you mean geometry.features?"),
        ("/**:\n  ros__parameters: {min_belief: 7}\n", "parameters.yaml: min_belief is the whole number 7"),
        ("/**:\n  ros__parameters: {min_belief: high}\n", "min_belief is 'high'; expected a number from"),
        ("/**:\n  ros__parameters: {min_belief:}\n", "min_belief is None; expected a number from"),
        ("min_belief: 0.7\n", "expected '/\\*\\*:' or 'localizer:', and below it 'ros__parameters:'"),
        ("amcl:\n  ros__parameters: {a: 1}\n", "found /amcl"),
        ("- a\n- b\n", "is no parameter file"),
        ("a: b: c\n", "it is not YAML"),
        ("", "is no parameter file"),
        ("/**:\n  ros__parameters: {top_k: " + "9" * 5000 + "}\n", "it is not YAML"),
        ("/**:\n  ros__parameters: {top_k: " + "9" * 400 + "}\n", "expected a whole number"),
        ("/**:\n  ros__parameters: {top_k: 0x" + "f" * 5000 + "}\n", "a number of very many digits"),
        (
            "/**:\n  ros__parameters: {sequence.sharpness: 0x" + "f" * 5000 + "}\n",
            "a number of very many digits",
        ),
        ("/**:\n  ros__parameters: {top_k: 2001-99-99}\n", "it is not YAML"),
        ("/**:\n  ros__parameters: {top_k: !!timestamp 5}\n", "it is not YAML"),
        ("/**:\n  ros__parameters: {top_k: " + "[" * 3000 + "}\n", "it is not YAML"),
        ("/**: &a\n  ros__parameters: *a\n", "it is not YAML"),
        (
            "a0: &a0 [1, 1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 30)),
            "aliases",
        ),
        (
            "/a/localizer:\n  ros__parameters: {top_k: 1}\n/b/localizer:\n  ros__parameters: {top_k: 2}\n",
            "has top_k for /a/localizer and another one for /b/localizer",
        ),
    ],
)
def test_a_wrong_file_gets_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(SettingError, match=sentence):
        _read(tmp_path, text)


def test_bytes_that_are_no_text_get_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_bytes(b"/**:\n  ros__parameters: {map: \xff\xfe}\n")
    with pytest.raises(SettingError, match="it is not YAML"):
        read_parameters(tmp_path / "p.yaml", _KNOWN)


def test_another_node_is_read_by_its_name(tmp_path: Path) -> None:
    text = "closer:\n  ros__parameters: {top_k: 5}\nlocalizer:\n  ros__parameters: {top_k: 7}\n"
    assert _read(tmp_path, text, node="closer") == {"top_k": 5}


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    options = Options(7, 0.25, "raw", Filter(1.0, 1e-9, (-2.0, 3.0)), Geometry(features=77))
    text = parameters_text(settings_of(options), ["Of a test."])
    values = _read(tmp_path, text)
    assert with_settings(Options(), values) == options
    assert list(values) == list(_KNOWN)
    assert text.startswith("# Of a test.\n/**:\n  ros__parameters:\n    # Matches.\n    top_k: 7\n")
    # A plain YAML reader, as launch files use it, sees the same types.
    plain = yaml.safe_load(text)["/**"]["ros__parameters"]
    assert {name: type(value) for name, value in plain.items()} == {
        name: type(value) for name, value in values.items()
    }


def test_the_options_of_this_package() -> None:
    """Every number of localization has a name, a range that holds it, and a description."""
    closures = settings_of(LoopClosureOptions(), "closures")
    found = settings_of(LocalizerOptions()) | closures
    assert {"min_belief", "min_inliers", "sequence.sharpness", "geometry.features", "verification"} < set(
        found
    )
    assert {"min_time", "keyframe_distance", "closures.window", "closures.keyframes.angle"} < set(closures)
    assert found["sequence.radius"].default == 10.0
    assert closures["min_inliers"].default == 40
    for name, one in found.items():
        assert one.description.endswith("."), name
        assert one.check(one.default) == one.default
        assert isinstance(one.default, bool) or (one.low is not None and one.high is not None), name
    for options, prefix in ((LocalizerOptions(), ""), (LoopClosureOptions(), "closures")):
        values = {name: one.default for name, one in settings_of(options, prefix).items()}
        assert with_settings(options, values, prefix) == options
