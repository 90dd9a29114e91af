"""Print the parameter tables of docs/reference/nodes.md; with --yaml NODE the parameter file of a node."""

import sys
from collections.abc import Sequence
from textwrap import wrap

from netvlad_ros import loop_closure_parameters
from netvlad_ros.parameters import PARAMETERS, NodeParameter

NODES = {"localizer": PARAMETERS, "loop_closer": loop_closure_parameters.PARAMETERS}


def table(parameters: Sequence[NodeParameter] = PARAMETERS) -> str:
    """Rows of a Markdown table, one for each parameter."""
    rows = []
    for parameter in parameters:
        live = " (live)" if parameter.is_live else ""
        shown = f"`{_text(parameter.default)}`" if parameter.default != "" else "(empty)"
        rows.append(f"| `{parameter.name}` | {shown} | {parameter.description}{live} |")
    return "\n".join(rows)


def parameter_file(node: str) -> str:
    """A parameter file with the defaults of the code; groups of numbers are in the table alone."""
    lines = [
        f"# Parameters of the node {node}. An argument on the command line of the launch file wins over it.",
        f"# The values here are the defaults; ranges: `ros2 param describe /{node} NAME`.",
        "/**:",
        "  ros__parameters:",
    ]
    for parameter in NODES[node]:
        if "." not in parameter.name:
            lines += [f"    # {line}" for line in wrap(parameter.description, 110)]
            default = '""' if parameter.default == "" else _text(parameter.default)
            lines.append(f"    {parameter.name}: {default}")
    return "\n".join(lines) + "\n"


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    print(parameter_file(sys.argv[2]) if "--yaml" in sys.argv else "\n\n".join(map(table, NODES.values())))
