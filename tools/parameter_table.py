"""Print the table of the node's parameters for the README."""

from netvlad_ros.parameters import PARAMETERS


def table() -> str:
    """Rows of a Markdown table, one for each parameter."""
    rows = []
    for parameter in PARAMETERS:
        live = " (live)" if parameter.is_live else ""
        default = str(parameter.default).lower() if isinstance(parameter.default, bool) else parameter.default
        shown = f"`{default}`" if default != "" else "(empty)"
        rows.append(f"| `{parameter.name}` | {shown} | {parameter.description}{live} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
