"""The launch file under launch_testing: the real launch starts the real node, which lives and ends well."""

from __future__ import annotations

import sys
import unittest
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("launch_ros")
pytest.importorskip("launch_testing")
import launch_testing.actions
from launch_testing.loader import LoadTestsFromPythonModule
from launch_testing.test_runner import LaunchTestRunner

from launch import LaunchDescription

_FILE = Path(__file__).resolve().parents[2] / "launch" / "localize.launch.py"


class _WhileItRuns(unittest.TestCase):
    """Run by launch_testing once the processes have started; it hands over the last two arguments."""

    __test__ = False  # not by pytest itself

    def test_it_listens_to_the_topic_of_the_argument(self, proc_output: Any, proc_info: Any) -> None:
        proc_output.assertWaitFor("listening to /camera/image_raw", timeout=30, stream="stderr")


@launch_testing.post_shutdown_test()
class _AfterIt(unittest.TestCase):
    __test__ = False

    def test_it_ends_as_it_was_told(self, proc_info: Any) -> None:
        launch_testing.asserts.assertExitCodes(proc_info)


def test_the_launch_file_starts_a_node_that_listens_and_ends_with_status_0(ros, map_path, monkeypatch):
    loader = SourceFileLoader("localize_launch", str(_FILE))
    module: Any = module_from_spec(spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    describe = module.generate_launch_description

    def generate_test_description() -> LaunchDescription:
        ready = launch_testing.actions.ReadyToTest()
        return LaunchDescription([*describe().entities, ready])

    module.generate_test_description = generate_test_description
    module.WhileItRuns, module.AfterIt = _WhileItRuns, _AfterIt
    monkeypatch.setattr(sys, "argv", ["launch_test"])
    runs = LoadTestsFromPythonModule(module, name="localize")
    arguments = [f"map:={map_path}", "image_topic:=/camera/image_raw", "respawn:=false"]
    results = LaunchTestRunner(runs, launch_file_arguments=arguments).run()
    assert results
    for result in results.values():
        assert result.wasSuccessful(), [text for _, text in [*result.failures, *result.errors]]
