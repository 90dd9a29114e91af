"""GSV-Cities: `Dataframes/<City>.csv` and `Images/<City>/`, places with labels and no queries.

Columns place_id, year, month, northdeg, city_id, lat, lon, panoid; an image is named
City_PLACE_year_month_northdeg_lat_lon_panoid.JPG, with seven digits for the place and three for the bearing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from netvlad_core.data.geodesy import east_north_up
from netvlad_core.data.place_sets.place_set import PlaceImages, PlaceSet, heading_of_compass, moved_apart
from netvlad_core.data.tables import numbers, read_columns
from netvlad_core.errors import SourceError

_COLUMNS = ("place_id", "year", "month", "northdeg", "city_id", "lat", "lon", "panoid")


def is_it(path: Path) -> bool:
    """Whether there are Dataframes of cities."""
    return any(path.glob("Dataframes/*.csv"))


def splits(path: Path) -> list[str]:
    """See `Format`."""
    return ["train"]


def read(path: Path, split: str | None) -> PlaceSet:
    """Read all cities; see `open_place_set`."""
    if split not in (None, "train"):
        raise SourceError(f"{path} is GSV-Cities, a training set without the split {split!r}")
    path = path.absolute()
    tables = sorted(path.glob("Dataframes/*.csv"))
    if not (path / "Images").is_dir():
        raise SourceError(f"{path} has Dataframes but no folder Images beside them")
    database = PlaceImages.joined([_read_city(path, table, number) for number, table in enumerate(tables)])
    places = len(set(database.labels if database.labels is not None else ()))
    description = f"GSV-Cities, {len(tables)} cities, {places} places with labels"
    return PlaceSet("GSV-Cities", description, database, PlaceImages(path, []), "train")


def _read_city(path: Path, table: Path, number: int) -> PlaceImages:
    city = table.stem
    columns = read_columns(table, _COLUMNS)
    values = {name: numbers(table, columns, name) for name in _COLUMNS if name not in ("city_id", "panoid")}
    count = len(columns["place_id"])
    if not count:
        raise SourceError(f"{table} lists no image")
    geodetic = np.column_stack([values["lat"], values["lon"], np.zeros(count)])
    # Files end in .JPG or .jpg, and their coordinates are as the table has them, or without zeros at the end.
    files = {file.name.lower(): file.name for file in (path / "Images" / city).glob("*")}
    names = []
    for row in range(count):
        place, year, month, north = (int(values[n][row]) for n in ("place_id", "year", "month", "northdeg"))
        start = f"{columns['city_id'][row]}_{place:07d}_{year:04d}_{month:02d}_{north:03d}"
        end = f"{columns['panoid'][row]}.JPG"
        as_written = f"{start}_{columns['lat'][row]}_{columns['lon'][row]}_{end}"
        shortest = f"{start}_{float(values['lat'][row])}_{float(values['lon'][row])}_{end}"
        known = (files[name.lower()] for name in (as_written, shortest) if name.lower() in files)
        names.append(f"Images/{city}/{next(known, as_written)}")
    if not any((path / name).is_file() for name in names):
        raise SourceError(f"none of the {count} images of {table} exists, e.g. {path / names[0]}")
    return PlaceImages(
        path,
        names,
        moved_apart(east_north_up(geodetic, geodetic.mean(axis=0))[:, :2], number),
        heading_of_compass(values["northdeg"]),
        np.array([f"{city}/{label}" for label in columns["place_id"]]),
        np.array(columns["panoid"]),
    )
