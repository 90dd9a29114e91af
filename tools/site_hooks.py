"""What mkdocs adds to the pages: the help of every command, and descriptions out of docstrings."""

from __future__ import annotations

import os
import re
from contextlib import redirect_stdout, suppress
from io import StringIO
from typing import Any
from unittest.mock import patch

_COMMANDS = "<!-- commands: `make docs` puts the help of every command here -->"
# "name : description" and the lines that belong to it, in a section of parameters or attributes.
_ENTRY = re.compile(r"^(?P<names>\*{0,2}\w+(?:, \w+)*) : (?P<text>.+(?:\n    .+)*)", re.MULTILINE)
_SECTION = re.compile(r"^(?:Parameters|Attributes)\n-+\n(?:.+\n?)+", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for each page before it is rendered."""
    return markdown.replace(_COMMANDS, commands()) if _COMMANDS in markdown else markdown


def commands() -> str:
    """A section of Markdown for each subcommand of `netvlad`, with its help."""
    from netvlad_core.cli import COMMANDS

    with patch.dict(os.environ, COLUMNS="100"):
        return "\n\n".join(f"### netvlad {name}\n\n```text\n{_help_of(name)}```" for name in COMMANDS)


def _help_of(command: str) -> str:
    from netvlad_core.cli import main

    text = StringIO()
    with redirect_stdout(text), suppress(SystemExit):
        main([command, "--help"])
    return text.getvalue()


def as_numpy(docstring: str) -> str:
    """Put descriptions of parameters and attributes on lines of their own, where NumPy's style has them."""

    def entry(found: re.Match[str]) -> str:
        return f"{found['names']}\n    {found['text']}"

    return _SECTION.sub(lambda section: _ENTRY.sub(entry, section[0]), docstring)
