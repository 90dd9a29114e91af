"""Run the commands of the tutorials from the pages themselves, and stop at the first that fails.

A block of code is run if `<!-- run -->` stands before it: by bash, or as said in `<!-- run: python -->`; the
block after `<!-- run: file NAME -->` is written to that file. All blocks of a page run in one folder, in
their order, which has two short rendered drives where `make demo` leaves them.

  python -m tools.run_documents docs/tutorials/first_map.md
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent
from time import monotonic

ROOT = Path(__file__).resolve().parents[1]
_DRIVES = ROOT / ".build" / "documents"
# For these: 150 m of the town, small pictures.
_LENGTH, _SIZE = 150.0, (320, 240)
_BLOCK = re.compile(r"<!-- run(?:: (?P<how>[^>]+))? -->\n+(?P<code>(?:(?:    .*)?\n)+)")


@dataclass(frozen=True)
class Block:
    """A block of code to run: line of its first command, "bash", "python" or "file NAME", and the text."""

    line: int
    how: str
    code: str


def blocks(page: Path) -> list[Block]:
    """Blocks of a page that are to be run, in their order."""
    text = page.read_text(encoding="utf-8") + "\n"
    return [
        Block(text.count("\n", 0, found.start("code")) + 1, found["how"] or "bash", dedent(found["code"]))
        for found in _BLOCK.finditer(text)
    ]


def run(page: Path, folder: Path) -> str:
    """Run the blocks of a page in a folder; returns which one failed, empty if none did."""
    for block in blocks(page):
        print(f"\n{page.relative_to(ROOT)}:{block.line}\n{block.code.rstrip()}", flush=True)
        if block.how.startswith("file "):
            (folder / block.how.removeprefix("file ")).write_text(block.code, encoding="utf-8")
            continue
        program = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}[block.how]
        status = subprocess.run([*program, block.code], cwd=folder, check=False).returncode
        if status:
            return f"{page.relative_to(ROOT)}:{block.line} ended with status {status}"
    return ""


def drives() -> Path:
    """Folder of two short drives through the town, rendered once."""
    from town.drives import FIRST, SECOND_DRIVE, write_drive

    for name, drive in (("noon", FIRST), ("evening", SECOND_DRIVE)):
        if not (_DRIVES / name / "metadata.yaml").is_file():  # which is written last
            write_drive(_DRIVES / name, drive, length=_LENGTH, size=_SIZE)
    return _DRIVES


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    pages = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
    parser.add_argument("pages", nargs="*", type=Path, default=pages, help="(default: all tutorials)")
    for page in parser.parse_args().pages:
        started = monotonic()
        with TemporaryDirectory() as text:
            folder = Path(text)
            (folder / "demo_output").mkdir()
            (folder / "demo_output" / "drives").symlink_to(drives())
            if failure := run(page.resolve(), folder):
                print(f"\nrun_documents: {failure}", file=sys.stderr)
                return 1
        print(f"\n{page.name}: {len(blocks(page))} blocks in {monotonic() - started:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
