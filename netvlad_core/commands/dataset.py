"""Check the contents of a collection of places.

Reads Pittsburgh and Tokyo .mat files, MSLS, GSV-Cities, Oxford, Paris, Holidays, '@' names, and pairs of
folders or catalogues; all splits unless one is named. See docs/datasets.md.

    netvlad dataset check datasets/pitts30k --positive 10 --heading 90
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from textwrap import TextWrapper
from typing import TYPE_CHECKING

from netvlad_core.commands import arguments, types
from netvlad_core.data.radii import NEGATIVE_BEYOND, POSITIVE_WITHIN

if TYPE_CHECKING:
    from netvlad_core.data.place_sets.check import Overlap, SplitCheck, Spread

_WIDTH = 80
_NAMED = 3
# Metres beyond which an extent is that of cities moved apart.
_FAR = 1e5


def add_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("action", choices=("check",), help="open every image and count everything")
    arguments.add_place_set(command)
    text = "distance within which an image is a positive (default: %(default)g)"
    add("--positive", type=types.positive, default=POSITIVE_WITHIN, metavar="M", help=text)
    text = "distance beyond which an image is a negative (default: %(default)g)"
    add("--negative", type=types.positive, default=NEGATIVE_BEYOND, metavar="M", help=text)
    add("--json", action="store_true", help="print JSON, with every path")


def run(options: argparse.Namespace) -> None:
    from netvlad_core.data.place_sets.check import check_place_sets
    from netvlad_core.data.place_sets.recognise import splits_of

    splits: Sequence[str | None] = [options.split]
    if options.split is None and options.queries is None:
        splits = splits_of(options.path) or [None]
    checks, overlaps = check_place_sets(
        [arguments.open_place_set(options, split) for split in splits],
        options.positive,
        options.negative,
        None if options.heading is None else math.radians(options.heading),
        not options.quiet,
    )
    if options.json:
        values = {"sets": [asdict(check) for check in checks], "overlaps": [asdict(o) for o in overlaps]}
        print(json.dumps(values, indent=2))
        return
    for check in checks:
        _print_split(check, options)
    for overlap in overlaps:
        _print_overlap(overlap, options)


def _print_split(check: SplitCheck, options: argparse.Namespace) -> None:
    title = check.name if check.split in (None, *check.name.split()) else f"{check.name}, split {check.split}"
    total, queries = f"of {sum(check.images.values())} images", f"of {check.images['queries']} queries"
    print(f"{title}\n{'-' * min(len(title), _WIDTH)}")
    _line("format", check.description)
    _line("images", f"{check.images['database']} in the database, {check.images['queries']} queries")
    for name, count in check.subsets.items():
        _line("", f"{count} of the queries: {name}")
    usual = list(check.sizes.items())[:_NAMED]
    rest = sum(check.sizes.values()) - sum(count for _, count in usual)
    sizes = [f"{count} of {size} pixels" for size, count in usual] + ([f"{rest} others"] if rest else [])
    _line("", ", ".join(sizes))
    _list("missing", total, [_short(path, options) for path in check.missing])
    broken = [f"{_short(path, options)}: {reason}" for path, reason in check.broken.items()]
    _list("broken", total, broken)
    if check.extent is None:
        _line("positions", "none")
    elif max(check.extent) > _FAR:
        _line("positions", "of several cities or zones, which are kept apart")
    else:
        _line("positions", f"{check.extent[0]:.0f} m by {check.extent[1]:.0f} m")
    _line("headings", f"{check.headings} known" if check.headings else "none")
    if check.positives:
        by = f", headings within {options.heading:g} degrees" if options.heading else ""
        near = f" within {options.positive:g} m" if check.extent else ""
        _line("positives", f"{_spread(check.positives)} for a query{near}{by}")
        unreachable = [_short(path, options) for path in check.unreachable]
        _list("unreachable", queries, unreachable)
    elif check.images["queries"]:
        _line("positives", "unknown: neither positions nor labels nor a ground-truth file")
    if check.negatives:
        _line("negatives", f"{_spread(check.negatives)} for a query beyond {options.negative:g} m")
    if check.labels:
        _line("labels", f"{_spread(check.labels)} images for a label; {check.lonely_labels} have only one")
    _pairs("leaks", f"{queries}, equal to files of the database", check.database_among_queries, options)
    print()


def _print_overlap(overlap: Overlap, options: argparse.Namespace) -> None:
    print(f"{overlap.splits[0]} and {overlap.splits[1]}")
    _pairs("same file", "in common", overlap.same_content, options)
    _pairs("within 1 m", "in common", overlap.same_position, options)


def _spread(spread: Spread) -> str:
    return f"{spread.least} / {spread.median:g} / {spread.most} (min / median / max)"


def _short(path: str, options: argparse.Namespace) -> str:
    folder = options.path if options.path.is_dir() else options.path.parent
    return os.path.relpath(path, folder)


def _pairs(title: str, what: str, pairs: Sequence[tuple[str, str]], options: argparse.Namespace) -> None:
    _list(title, what, [f"{_short(first, options)} = {_short(second, options)}" for first, second in pairs])


def _list(title: str, what: str, entries: Sequence[str]) -> None:
    _line(title, f"{len(entries)} {what}" if entries else "none")
    for entry in entries[:_NAMED]:
        _line("", entry)
    if len(entries) > _NAMED:
        _line("", f"... and {len(entries) - _NAMED} more; --json names all")


def _line(title: str, text: str) -> None:
    """A title and text that goes on below itself; long paths stay whole."""
    cut = TextWrapper(_WIDTH, f"{title:12} ", " " * 13, break_long_words=False, break_on_hyphens=False)
    print(cut.fill(text))
