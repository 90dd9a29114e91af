"""Tables as spreadsheets write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from netvlad_core.data.tables import read_columns, read_rows
from netvlad_core.errors import SourceError


def write(folder: Path, content: str) -> Path:
    path = folder / "table.csv"
    path.write_bytes(content.encode("utf-8"))
    return path


def test_marks_quotes_blanks_and_empty_lines(tmp_path: Path) -> None:
    path = write(tmp_path, '\ufeffa, b ,c\r\n1,"2, or\nmore", 3\r\n\r\n4,5,\r\n')
    header, rows = read_rows(path, ("a", "b"))
    assert header == ["a", "b", "c"]
    assert rows == [(3, {"a": "1", "b": "2, or\nmore", "c": "3"}), (5, {"a": "4", "b": "5", "c": ""})]
    assert read_columns(path, ("b",), ("c", "d")) == {"b": ["2, or\nmore", "5"], "c": ["3", ""]}


def test_table_without_rows_has_its_columns(tmp_path: Path) -> None:
    assert read_columns(write(tmp_path, "a,b\n"), ("a",), ("b", "c")) == {"a": [], "b": []}


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("a;b\n1;2\n", "lacks the column a and b; expected a, b; found a;b; it is separated by semicolons"),
        ("a\tb\n", "it is separated by tabs, expected commas"),
        ("a,c\n", "lacks the column b; expected a, b; found a, c$"),
        ("", "found none"),
        ("a,b,a\n", "has the column a twice"),
        ("a,b\n1,2\n1\n", "line 3: expected 2 fields, found 1"),
        ('a,b\n"1,2\n', "cannot read the table"),
    ],
)
def test_wrong_tables_are_named(tmp_path: Path, content: str, found: str) -> None:
    with pytest.raises(SourceError, match=found):
        read_columns(write(tmp_path, content), ("a", "b"))


def test_other_encodings_of_text(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes("a,b\n1,2\n".encode("utf-16"))
    with pytest.raises(SourceError, match="cannot read the table"):
        read_rows(path, ("a",))
