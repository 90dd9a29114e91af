"""What mkdocs adds to the pages: the help of every command."""

from __future__ import annotations

import os
from contextlib import redirect_stdout, suppress
from io import StringIO
from typing import Any

_COMMANDS = "<!-- commands: `make docs` puts the help of every command here -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for each page before it is rendered."""
    return markdown.replace(_COMMANDS, commands()) if _COMMANDS in markdown else markdown


def commands() -> str:
    """A section of Markdown for each subcommand of `netvlad`, with its help."""
    from netvlad_core.cli import COMMANDS

    os.environ["COLUMNS"] = "100"
    return "\n\n".join(f"### netvlad {name}\n\n```text\n{_help_of(name)}```" for name in COMMANDS)


def _help_of(command: str) -> str:
    from netvlad_core.cli import main

    text = StringIO()
    with redirect_stdout(text), suppress(SystemExit):
        main([command, "--help"])
    return text.getvalue()
