"""GSV-Cities: `Dataframes/<City>.csv` and `Images/<City>/`, places with labels and no queries.

Columns place_id, year, month, northdeg, city_id, lat, lon, panoid; an image is named
City_PLACE_year_month_northdeg_lat_lon_panoid.JPG, with seven digits for the place and three for the bearing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from netvlad_core.data.geodesy import east_north_up
from netvlad_core.data.place_sets.place_set import PlaceImages, PlaceSet, heading_of_compass, moved_apart
from netvlad_core.data.tables import Table
from netvlad_core.errors import SourceError

_COLUMNS = ("place_id", "year", "month", "northdeg", "city_id", "lat", "lon", "panoid")


def splits(path: Path) -> list[str] | None:
    """See `Format`."""
    return ["train"] if any(path.glob("Dataframes/*.csv")) else None


def read(path: Path, split: str | None) -> PlaceSet:
    """See `Format`."""
    path = path.absolute()
    tables = sorted(path.glob("Dataframes/*.csv"))
    if not (path / "Images").is_dir():
        raise SourceError(f"{path} has Dataframes but no folder Images beside them")
    database = PlaceImages.joined([_read_city(path, table, number) for number, table in enumerate(tables)])
    places = len(set(database.labels if database.labels is not None else ()))
    description = f"GSV-Cities, {len(tables)} cities, {places} places with labels"
    return PlaceSet("GSV-Cities", description, database, PlaceImages(path, []), "train")


def _read_city(path: Path, file: Path, number: int) -> PlaceImages:
    city, table = file.stem, Table.read(file, _COLUMNS)
    geodetic = np.column_stack([table.numbers("lat", "lon"), np.zeros(len(table))])
    # Files end in .JPG or .jpg, and their coordinates are as the table has them, or without zeros at the end.
    files = {image.name.lower(): image.name for image in (path / "Images" / city).glob("*")}
    names = []
    for row, numbers in enumerate(table.numbers("place_id", "year", "month", "northdeg").astype(int)):
        start = table["city_id"][row] + "_{:07d}_{:04d}_{:02d}_{:03d}".format(*numbers)
        end = f"{table['panoid'][row]}.JPG"
        as_written = f"{start}_{table['lat'][row]}_{table['lon'][row]}_{end}"
        shortest = f"{start}_{float(geodetic[row, 0])}_{float(geodetic[row, 1])}_{end}"
        known = (files[name.lower()] for name in (as_written, shortest) if name.lower() in files)
        names.append(f"Images/{city}/{next(known, as_written)}")
    table.require_files(path, names)
    return PlaceImages(
        path,
        names,
        moved_apart(east_north_up(geodetic, geodetic.mean(axis=0))[:, :2], number),
        heading_of_compass(table.numbers("northdeg")[:, 0]),
        np.array([f"{city}/{label}" for label in table["place_id"]]),
        np.array(table["panoid"]),
    )
