"""CSV files that collections of images come with."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from netvlad_core.errors import SourceError
from netvlad_core.files import read_file

T = TypeVar("T")

FLAGS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False, "": False}


@dataclass(frozen=True, eq=False)
class Table:
    """A CSV file with a header and at least one row, read without the blanks around its fields.

    Attributes
    ----------
    path : the file.
    columns : names and fields.
    lines : line of each row in the file.
    """

    path: Path
    columns: Mapping[str, Sequence[str]]
    lines: Sequence[int]

    @classmethod
    def read(cls, path: Path, required: Sequence[str], expected: str = "") -> Table:
        """Read a file with some required columns; `expected` names these and the optional ones in a message.

        Raises
        ------
        SourceError
            If there is no such file, it is no CSV, a column is missing or there twice, a row is too short or
            too long, or there is none.
        """
        try:
            # Spreadsheets put a byte order mark in front.
            text = read_file(path).decode("utf-8-sig")
            reader = csv.reader(io.StringIO(text, newline=""), strict=True)
            header = [name.strip() for name in next(reader, [])]
            _check_header(path, header, required, expected)
            rows = [(reader.line_num, [field.strip() for field in row]) for row in reader if row]
        except UnicodeDecodeError as error:
            raise SourceError(f"cannot read the table {path}: it is not in UTF-8; save it so") from error
        except (OSError, csv.Error) as error:
            raise SourceError(f"cannot read the table {path}: {error}") from error
        for line, row in rows:
            if len(row) != len(header):
                raise SourceError(f"{path}, line {line}: expected {len(header)} fields, found {len(row)}")
        if not rows:
            raise SourceError(f"{path} lists nothing below its header")
        lines, fields = zip(*rows)
        return cls(path, dict(zip(header, zip(*fields))), lines)

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def __getitem__(self, name: str) -> Sequence[str]:
        if name not in self.columns:
            raise SourceError(f"{self.path} lacks the column {name}")
        return self.columns[name]

    def __len__(self) -> int:
        return len(self.lines)

    def parsed(self, name: str, parse: Callable[[str], T]) -> list[T]:
        """Values of a column; a ValueError of `parse` becomes a SourceError that names the line."""
        values = []
        for line, text in zip(self.lines, self[name]):
            try:
                values.append(parse(text))
            except ValueError as error:
                raise SourceError(f"{self.path}, line {line}: {error}") from error
        return values

    def numbers(self, *names: str) -> np.ndarray:
        """Columns of finite numbers as (N, names) float64; raises SourceError as `parsed`."""
        return np.column_stack([self.parsed(name, partial(_finite, name)) for name in names])

    def choices(self, name: str, known: Mapping[str, T], expected: str = "True or False") -> list[T]:
        """Values of a column whose fields, in lower case, are known; raises SourceError for another one."""
        for line, text in zip(self.lines, self[name]):
            if text.lower() not in known:
                raise SourceError(f"{self.path}, line {line}: {name} is {text!r}, expected {expected}")
        return [known[text.lower()] for text in self[name]]

    def require_files(self, folder: Path, names: Sequence[str]) -> None:
        """Raise SourceError if none of the files exists; single ones may be missing."""
        if not any(os.path.isfile(folder / name) for name in names):  # False for names that no file can have
            raise SourceError(
                f"none of the {len(names)} images of {self.path} exists, e.g. {folder / names[0]}; paths are "
                f"relative to {folder}"
            )


def _check_header(path: Path, header: list[str], required: Sequence[str], expected: str) -> None:
    if missing := [name for name in required if name not in header]:
        found = f"found {', '.join(filter(None, header)) or 'none'}"
        marks = {";": "semicolons", "\t": "tabs", "|": "bars"}
        if len(header) == 1 and (mark := next((m for m in marks if m in header[0]), "")):
            found += f"; it is separated by {marks[mark]}, expected commas (and points in numbers)"
        wanted = expected or ", ".join(required)
        raise SourceError(f"{path} lacks the column {' and '.join(missing)}; expected {wanted}; {found}")
    if repeated := sorted(name for name, count in Counter(header).items() if name and count > 1):
        raise SourceError(f"{path} has the column {' and '.join(repeated)} twice")


def _finite(name: str, text: str) -> float:
    with suppress(ValueError):
        if np.isfinite(value := float(text)):
            return value
    raise ValueError(f"{name} is {text!r}, expected a finite number")
