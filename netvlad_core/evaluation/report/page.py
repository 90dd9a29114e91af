"""The page: values, styles and program in one HTML file that loads nothing from anywhere."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from datetime import datetime, timezone
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from netvlad_core.data.frames import FrameSource
from netvlad_core.errors import SourceError
from netvlad_core.evaluation.report.places import map_values, place_pictures, place_rows
from netvlad_core.evaluation.report.queries import DriveRecord, table
from netvlad_core.evaluation.report.sheets import PictureSheets
from netvlad_core.files import sendable
from netvlad_core.localization.localizer import Localizer
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.progress import bar
from netvlad_core.settings import settings_of

# In the head of every page, by which an earlier one is known.
MARK = '<meta name="generator" content="netvlad report">'
_SCRIPTS = ("data.js", "trajectory.js", "timeline.js", "list.js", "detail.js", "charts.js", "main.js")
# Of the bytes of pictures, what the queries get; the rest is for places.
_OF_QUERIES = 0.6


def drive_report(
    localizer: Localizer,
    source: FrameSource,
    threshold: float,
    picture_bytes: float,
    left_out: Counter[str],
    has_truth: bool = True,
    progress: bool = True,
) -> dict[str, Any]:
    """Localize a drive, and say what the page shows of it.

    Parameters
    ----------
    threshold : metres within which a place is correct.
    picture_bytes : of all pictures together.
    left_out : gets reasons and counts of images that cannot be used.
    has_truth : whether the poses of the drive are true positions in the frame of the map.

    Raises
    ------
    SourceError
        If no image can be used.
    """
    sheets = PictureSheets(len(source), _OF_QUERIES * picture_bytes)
    drive = DriveRecord(localizer, threshold, sheets, has_truth)
    drive.localize(bar(source, show=progress), left_out)
    queries = drive.values()
    left_out += source.skipped
    if not queries["rows"]:
        raise SourceError(f"{source.description}: no image can be localized; left out: {dict(left_out)}")
    place_map = localizer.place_map
    pictures = place_pictures(place_map, drive.shown_places(), (1 - _OF_QUERIES) * picture_bytes)
    return {
        "map": {**map_values(place_map), "pictures": pictures},
        "queries": {
            **queries,
            "source": source.description,
            "source_fingerprint": source.fingerprint,
            "frame_id": source.frame_id,
            "remark": source.remark,
            "left_out": dict(left_out),
        },
        "settings": {name: one.default for name, one in settings_of(localizer.options).items()},
    }


def map_report(place_map: PlaceMap, picture_bytes: float) -> dict[str, Any]:
    """What the page shows of a map alone."""
    rows = list(place_rows(place_map))
    shown = {row["number"] for row in rows} | {row["place"] for row in rows} - {None}
    return {
        "map": {**map_values(place_map), "pictures": place_pictures(place_map, shown, picture_bytes)},
        "places": table(rows),
        "settings": {},
    }


def page_text(values: dict[str, Any]) -> str:
    """The HTML of a report; raises ValueError for NaN, which JSON does not have."""
    values = {**values, "written": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M UTC}"}
    script = "\n".join(_asset(name) for name in _SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # Names of files and frames are any text: "</script>" in one of them must not end the data.
    data = json.dumps(values, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    title = values["map"]["header"]["map_id"]
    if "queries" in values:
        title = f"{values['queries']['source']} in {title}"
    return Template(_asset("page.html")).substitute(
        mark=MARK,
        script_digest=digest,
        title=escape(sendable(title)),
        style=_asset("page.css"),
        data=data,
        script=script,
    )


def _asset(name: str) -> str:
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")
