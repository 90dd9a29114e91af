"""The places of a map in files of other programs: trajectories, tables and pictures of the earth."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from netvlad_core.data.geodesy import geodetic_from_enu
from netvlad_core.data.geometry import yaw_of
from netvlad_core.data.trajectory import seconds, write_tum
from netvlad_core.errors import MapError
from netvlad_core.files import check_outputs, sendable, written_whole
from netvlad_core.mapping.place_map import PlaceMap

MARK = "netvlad map export"
_POSE = ("x", "y", "z", "qx", "qy", "qz", "qw")
_EARTH = ("latitude", "longitude", "height")
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, eq=False)
class Exported:
    """What an export has written.

    Attributes
    ----------
    places : number of places in it.
    left_out : reasons and counts of the others.
    """

    places: int
    left_out: dict[str, int]


def export_file(place_map: PlaceMap, output: Path, kind: str) -> Exported:
    """Write the places of a map to a file that appears whole or not at all.

    Parameters
    ----------
    kind : "tum", "csv", "geojson" or "kml".

    Raises
    ------
    MapError
        If no place has a pose, the file would lie in the map, or the map does not know where on earth it is
        and the kind needs that.
    NetvladError
        If the output is another's file, or cannot be written.
    """
    write, mark = _KINDS[kind]
    check_beside(place_map, output)
    check_outputs({output: mark}, [])
    known = posed(place_map)
    if kind in ("geojson", "kml") and place_map.header.origin is None:
        raise MapError(
            f"{place_map.path} does not know where on earth it is, since its poses were none of GPS: "
            "export it as csv or tum"
        )
    with written_whole(output) as partial:
        write(place_map, known, partial)
    if kind == "csv":  # it has a row for each place
        return Exported(len(place_map), {})
    missing = len(place_map) - len(known)
    return Exported(len(known), {"places without a pose": missing} if missing else {})


def check_beside(place_map: PlaceMap, output: Path) -> None:
    """Raise MapError if an output is the map or lies in it."""
    target = output.resolve()
    if place_map.path.resolve() in (target, *target.parents):
        raise MapError(f"{output} is the map {place_map.path} or lies in it; choose another output")


def posed(place_map: PlaceMap) -> np.ndarray:
    """Rows (K,) of the places with a pose; raises MapError if there are none."""
    known = np.flatnonzero(np.isfinite(place_map.poses).all(axis=1))
    if not len(known):
        raise MapError(f"no place of {place_map.path} has a pose, so there is nothing to export")
    return known


def geodetic(place_map: PlaceMap, rows: np.ndarray) -> np.ndarray:
    """Latitude and longitude in degrees and height in metres (K, 3) of places of a map with an origin."""
    return geodetic_from_enu(place_map.poses[rows, :3], np.array(place_map.header.origin))


def _write_tum(place_map: PlaceMap, rows: np.ndarray, path: Path) -> None:
    rows = rows[np.argsort(place_map.stamps[rows], kind="stable")]
    poses = ((int(place_map.stamps[row]), place_map.pose(row)) for row in rows.tolist())
    write_tum(path, ((stamp, pose) for stamp, pose in poses if pose is not None), MARK)


def _write_csv(place_map: PlaceMap, rows: np.ndarray, path: Path) -> None:
    has_origin = place_map.header.origin is not None
    earth = geodetic(place_map, rows) if has_origin else np.empty((len(rows), 0))
    values = {row: (*place_map.poses[row], *degrees) for row, degrees in zip(rows.tolist(), earth)}
    names = [drive["name"] for drive in place_map.drives]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        columns = [*_POSE, *(_EARTH if has_origin else ())]
        writer.writerow([*_FIRST_COLUMNS, *columns])
        for place, name in enumerate(place_map.names):
            numbers = [f"{value:.9f}" for value in values[place]] if place in values else [""] * len(columns)
            stamp, session = seconds(int(place_map.stamps[place])), names[place_map.sessions[place]]
            writer.writerow([place, stamp, sendable(session), sendable(name), *numbers])


def _write_geojson(place_map: PlaceMap, rows: np.ndarray, path: Path) -> None:
    """RFC 7946: a line for each drive and a point for each place, with degrees clockwise from north."""
    head = {"type": "FeatureCollection", "generator": MARK, "map_id": place_map.header.map_id}
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{json.dumps(head)[:-1]}, "features": [\n')
        features = (json.dumps(feature) for feature in _features(place_map, rows))
        for number, feature in enumerate(features):
            file.write(f"{',' if number else ' '}{feature}\n")
        file.write("]}\n")


def _features(place_map: PlaceMap, rows: np.ndarray) -> Iterator[dict[str, Any]]:
    for _, name, members, points in _by_session(place_map, rows):
        if len(members) > 1:
            yield _feature("LineString", points, {"session": name})
        headings = (90 - np.degrees(yaw_of(place_map.poses[members, 3:]))) % 360
        for place, point, heading in zip(members.tolist(), points, headings.tolist(), strict=True):
            values = {
                "place": place,
                "session": name,
                "name": sendable(place_map.names[place]),
                "time": _time(place_map, place),
                "heading": round(heading, 3),
            }
            yield {"id": place, **_feature("Point", point, values)}


def _feature(kind: str, coordinates: Any, properties: dict[str, Any]) -> dict[str, Any]:
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def _write_kml(place_map: PlaceMap, rows: np.ndarray, path: Path) -> None:
    """A folder for each drive, with its way on the ground and a point for each place."""
    with path.open("w", encoding="utf-8") as file:
        file.write(
            f'<?xml version="1.0" encoding="UTF-8"?>\n<!-- {MARK} -->\n'
            f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document>\n'
            f"<name>{_xml(place_map.header.map_id)}</name>\n"
        )
        for session, name, members, points in _by_session(place_map, rows):
            file.write(f"<Folder><name>{_xml(name)}</name>\n")
            if len(members) > 1:
                file.write(
                    f'<Placemark id="session-{session}"><name>{_xml(name)}</name><LineString>'
                    f"<tessellate>1</tessellate><coordinates>{' '.join(map(_triple, points))}</coordinates>"
                    "</LineString></Placemark>\n"
                )
            for place, point in zip(members.tolist(), points, strict=True):
                file.write(
                    f'<Placemark id="place-{place}"><name>{place}</name>'
                    f"<TimeStamp><when>{_time(place_map, place)}</when></TimeStamp>"
                    f"<Point><coordinates>{_triple(point)}</coordinates></Point></Placemark>\n"
                )
            file.write("</Folder>\n")
        file.write("</Document></kml>\n")


def _by_session(
    place_map: PlaceMap, rows: np.ndarray
) -> Iterator[tuple[int, str, np.ndarray, list[list[float]]]]:
    """Number and name of each session that has some of the rows, these, and [longitude, latitude, height]."""
    earth = geodetic(place_map, rows)
    points = np.column_stack([earth[:, [1, 0]].round(9), earth[:, 2].round(3)])
    for session, drive in enumerate(place_map.drives):
        is_member = place_map.sessions[rows] == session
        if is_member.any():
            yield session, sendable(drive["name"]), rows[is_member], points[is_member].tolist()


def _time(place_map: PlaceMap, place: int) -> str:
    return f"{np.datetime64(int(place_map.stamps[place]), 'ns')}Z"


def _triple(point: list[float]) -> str:
    return f"{point[0]:.9f},{point[1]:.9f},{point[2]:.3f}"


def _xml(text: str) -> str:
    return escape(_NO_XML.sub("\ufffd", text))


_FIRST_COLUMNS = ("place", "stamp", "session", "name")
_KINDS: dict[str, tuple[Callable[[PlaceMap, np.ndarray, Path], None], str]] = {
    "tum": (_write_tum, MARK),
    "csv": (_write_csv, ",".join(_FIRST_COLUMNS)),
    "geojson": (_write_geojson, MARK),
    "kml": (_write_kml, MARK),
}
