"""Output that several subcommands share: figures, what was left out, warnings."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping
from shutil import get_terminal_size
from textwrap import wrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netvlad_core.mapping.place_map import PlaceMap

# Exit status of a command that is done, but could not use most of its input.
MOSTLY_LEFT_OUT = 3
_IN_METRES = {"spacing", "length", "extent"}


def warn_of_units(place_map: PlaceMap) -> None:
    """Say so if the positions of a map can hardly be metres."""
    from netvlad_core.data.judges.positions import doubts_about_units

    if place_map.has_poses and (doubt := doubts_about_units(place_map.poses[:, :3])):
        print(f"warning: {place_map.path}: {doubt}", file=sys.stderr)


def print_counts(title: str, counts: Mapping[str, int]) -> None:
    """One line `title: 3 reason, 1 other reason`; nothing if there are none."""
    if counts:
        print(f"{title}: " + ", ".join(f"{count} {reason}" for reason, count in counts.items()))


def finish(
    used: int, left_out: Mapping[str, int], is_json: bool = False, total: int | None = None, remark: str = ""
) -> int:
    """Say what was left out, and warn on the last line if it is most of the input.

    Parameters
    ----------
    used, total : numbers of images; without a total each reason in `left_out` counts as one image.
    left_out : reasons and counts.
    remark : what is known about the cause, e.g. that of a `FrameSource`.

    Returns
    -------
    The exit status of the command: 0 or MOSTLY_LEFT_OUT.
    """
    if not is_json:
        print_counts("left out", left_out)
    total = used + sum(left_out.values()) if total is None else total
    if 2 * used >= total:
        return 0
    causes = "; ".join(f"{count} {reason}" for reason, count in Counter(left_out).most_common(3))
    said = "; ".join(filter(None, (causes, remark)))
    sys.stdout.flush()
    print(f"warning: {total - used} of {total} images were left out: {said}", file=sys.stderr)
    return MOSTLY_LEFT_OUT


def print_made(place_map: PlaceMap, is_json: bool, **figures: Any) -> None:
    """Say what a map that was made from others holds, after figures about its making."""
    header = place_map.header
    size = sum(stated["bytes"] for stated in header.files.values())
    values = {
        **figures,
        "map": str(place_map.path),
        "map_id": header.map_id,
        "places": len(place_map),
        "sessions": len(place_map.drives),
        "bytes": size,
    }
    print_values(values, is_json)


def print_values(values: Mapping[str, Any], is_json: bool) -> None:
    """Print what is known of a map or a network, a line for each entry, or as JSON."""
    if is_json:
        print(json.dumps(values, indent=2))
        return
    columns = max(get_terminal_size().columns, 60)
    for key, value in values.items():
        if value is None or value in ({}, []):
            continue
        first, *more = _as_lines(key, value)
        title = f"{key.replace('_', ' '):>20}  "
        for line in (first, *more):
            lines = wrap(line, columns - len(title), break_on_hyphens=False, break_long_words=False)
            print(title + f"\n{'':22}".join(lines))
            title = " " * 22


def _as_lines(key: str, value: Any) -> list[str]:
    if key == "files":
        return [f"{name} ({size_text(stated['bytes'])})" for name, stated in value.items()]
    if isinstance(value, list) and isinstance(value[0], dict):
        return [_as_text(entry) for entry in value]
    if "bytes" in key.split("_"):
        return [size_text(value)]
    if key == "extent":
        value = {axis: f"{least:.4g} to {greatest:.4g}" for axis, (least, greatest) in value.items()}
    return [_as_text(value) + (" m" if key in _IN_METRES else "")]


def _as_text(value: Any) -> str:
    if isinstance(value, dict):
        known = {name.replace("_", " "): content for name, content in value.items() if content is not None}
        return ", ".join(f"{name} {_as_text(content)}" for name, content in known.items())
    if isinstance(value, (list, tuple)):
        return " ".join(map(_as_text, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def size_text(size: float) -> str:
    """Bytes as a person reads them: "640 bytes", "12 kB", "1.3 MB"."""
    for unit, least in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= least:
            return f"{size / least:.3g} {unit}"
    return f"{size:.0f} bytes"
