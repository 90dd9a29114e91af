"""Tests are found by name: netvlad_core/x/y.py has test/x/test_y.py, netvlad_ros/y.py test/ros/test_y.py."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_HOMES = {"netvlad_core": "test", "netvlad_ros": "test/ros"}

# Modules without a test file of their name, and where their behaviour is tested. This list only shrinks: a
# new module comes with its test, and an entry goes when its module gets one.
_ELSEWHERE = {
    # Values, numbers and protocols without behaviour.
    "netvlad_core/data/radii.py": "",
    "netvlad_core/localization/answer.py": "test/localization/test_localizer.py",
    "netvlad_core/localization/localizer_options.py": "test/test_settings.py",
    "netvlad_core/localization/loops/loop_options.py": "test/test_settings.py",
    "netvlad_core/localization/tracking/sequence_options.py": "test/test_settings.py",
    "netvlad_core/model/engine.py": "test/model/test_streaming.py",
    "netvlad_core/data/frames.py": "test/data/test_catalogue.py",
    "netvlad_ros/moment.py": "test/ros/test_robot_input.py",
    "netvlad_ros/tf_message.py": "test/ros/test_static_frames.py",
    # Starting a process.
    "netvlad_core/__main__.py": "test/test_cli.py",
    # One interface, whose tests run over all formats.
    "netvlad_core/data/place_sets/folder_pairs.py": "test/data/place_sets/test_formats.py",
    "netvlad_core/data/place_sets/gsv_cities.py": "test/data/place_sets/test_formats.py",
    "netvlad_core/data/place_sets/msls.py": "test/data/place_sets/test_formats.py",
    "netvlad_core/data/place_sets/pitts.py": "test/data/place_sets/test_formats.py",
    "netvlad_core/data/place_sets/retrieval.py": "test/data/place_sets/test_formats.py",
    "netvlad_core/data/place_sets/recognise.py": "test/data/place_sets/test_damaged_formats.py",
    # Parts that are tested through what they are parts of.
    "netvlad_core/mapping/place_geometry.py": "test/localization/geometry/test_verification.py",
    "netvlad_core/localization/loops/sequence_matcher.py": "test/localization/loops/test_loop_closure.py",
    "netvlad_core/model/importers/parts.py": "test/model/importers/test_torch_layouts.py",
    "netvlad_core/training/views.py": "test/training/test_sources.py",
    "netvlad_ros/launching.py": "test/ros/test_launch.py",
    "netvlad_ros/loop_closure_parameters.py": "test/ros/test_parameters.py",
}


def test_every_module_has_a_test_of_its_name_or_says_where_it_is_tested() -> None:
    without, tested = set[str](), set[str]()
    for package, home in _HOMES.items():
        for path in (_ROOT / package).rglob("*.py"):
            inside = path.relative_to(_ROOT / package)
            test = _ROOT / home / inside.parent / f"test_{path.stem}.py"
            if path.name != "__init__.py":
                (tested if test.is_file() else without).add(str(path.relative_to(_ROOT)))
    assert not without - set(_ELSEWHERE), "these modules need a test file of their name"
    assert not tested & set(_ELSEWHERE), "these modules have one now: take them out of the list"


def test_the_tests_elsewhere_are_there() -> None:
    assert [test for test in _ELSEWHERE.values() if test and not (_ROOT / test).is_file()] == []
