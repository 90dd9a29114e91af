"""The page on the nodes tells what the code does."""

import runpy
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

_ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("node", ["localizer", "loop_closer"])
def test_table_of_parameters_is_that_of_the_code(node):
    tool = runpy.run_path(str(_ROOT / "tools" / "parameter_table.py"))
    assert tool["table"](tool["NODES"][node]) in (_ROOT / "docs" / "reference" / "nodes.md").read_text(), (
        "run tools/parameter_table.py and put its output in docs/reference/nodes.md"
    )
