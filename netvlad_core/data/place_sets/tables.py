"""Columns of the CSV files that collections of images come with."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from netvlad_core.errors import SourceError


def read_columns(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, list[str]]:
    """Columns by name; of the optional ones those that are there.

    Raises
    ------
    SourceError
        If there is no such file, it is no CSV, a required column is missing, or a row is too short or long.
    """
    try:
        # Spreadsheets put a byte order mark in front.
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"cannot read the table {path}: {error}") from error
    header = [name.strip() for name in rows[0]] if rows else []
    if missing := [name for name in required if name not in header]:
        raise SourceError(
            f"{path} lacks the column {' and '.join(missing)}; expected {', '.join(required)}, "
            f"found {', '.join(filter(None, header)) or 'none'}"
        )
    body = [row for row in rows[1:] if row]
    for number, row in enumerate(body, start=2):
        if len(row) != len(header):
            raise SourceError(f"{path}, row {number}: expected {len(header)} fields, found {len(row)}")
    columns = dict(zip(header, zip(*body))) if body else dict.fromkeys(header, ())
    return {
        name: [value.strip() for value in columns[name]] for name in (*required, *optional) if name in columns
    }


def numbers(path: Path, columns: dict[str, list[str]], name: str) -> np.ndarray:
    """A column as (N,) float64.

    Raises
    ------
    SourceError
        Names the row in which there is no finite number.
    """
    values = np.empty(len(columns[name]))
    for row, text in enumerate(columns[name]):
        try:
            values[row] = float(text)
        except ValueError:
            values[row] = np.nan
        if not np.isfinite(values[row]):
            raise SourceError(f"{path}, row {row + 2}: {name} is {text!r}, expected a finite number")
    return values


def flags(path: Path, columns: dict[str, list[str]], name: str) -> np.ndarray:
    """A column of True and False, or 1 and 0, as (N,) bool; raises SourceError for anything else."""
    known = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False, "": False}
    values = [known.get(text.lower()) for text in columns[name]]
    if None in values:
        row = values.index(None)
        raise SourceError(f"{path}, row {row + 2}: {name} is {columns[name][row]!r}, expected True or False")
    return np.array(values, dtype=bool)
