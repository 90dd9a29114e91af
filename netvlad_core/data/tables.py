"""Columns of the CSV files that collections of images come with."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from netvlad_core.errors import SourceError


def read_rows(
    path: Path, required: Sequence[str], expected: str = ""
) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Header of a CSV file and its rows with the numbers of their lines, all without blanks around them.

    Parameters
    ----------
    required : names of columns that must be there.
    expected : what they and others are, for the message; the required names if it is empty.

    Raises
    ------
    SourceError
        If there is no such file, it is no CSV, a column is missing or there twice, or a row is too short or
        long.
    """
    try:
        # Spreadsheets put a byte order mark in front.
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            _check_header(path, header, required, expected)
            rows = [(reader.line_num, [value.strip() for value in row]) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"cannot read the table {path}: {error}") from error
    for line, row in rows:
        if len(row) != len(header):
            raise SourceError(f"{path}, line {line}: expected {len(header)} fields, found {len(row)}")
    return header, [(line, dict(zip(header, row, strict=True))) for line, row in rows]


def _check_header(path: Path, header: list[str], required: Sequence[str], expected: str) -> None:
    if missing := [name for name in required if name not in header]:
        found = f"found {', '.join(filter(None, header)) or 'none'}"
        if len(header) == 1 and (mark := next((m for m in ";\t|" if m in header[0]), "")):
            name = {";": "semicolons", "\t": "tabs", "|": "bars"}[mark]
            found += f"; it is separated by {name}, expected commas (and points in numbers)"
        wanted = expected or ", ".join(required)
        raise SourceError(f"{path} lacks the column {' and '.join(missing)}; expected {wanted}; {found}")
    if repeated := sorted({name for name in header if name and header.count(name) > 1}):
        raise SourceError(f"{path} has the column {' and '.join(repeated)} twice")


def read_columns(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, list[str]]:
    """Columns by name; of the optional ones those that are there. Errors as of `read_rows`."""
    header, rows = read_rows(path, required)
    return {name: [row[name] for _, row in rows] for name in (*required, *optional) if name in header}


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
