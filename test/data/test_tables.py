"""Tables as spreadsheets write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netvlad_core.data.tables import FLAGS, Table
from netvlad_core.errors import SourceError


def write(folder: Path, content: str) -> Path:
    path = folder / "table.csv"
    path.write_bytes(content.encode("utf-8"))
    return path


def test_marks_quotes_blanks_and_empty_lines(tmp_path: Path) -> None:
    table = Table.read(write(tmp_path, '\ufeffa, b ,c\r\n1,"2, or\nmore", 3\r\n\r\n4,5,\r\n'), ("a", "b"))
    assert dict(table.columns) == {"a": ("1", "4"), "b": ("2, or\nmore", "5"), "c": ("3", "")}
    assert (table.lines, len(table)) == ((3, 5), 2)
    assert "d" not in table
    with pytest.raises(SourceError, match="lacks the column d"):
        table["d"]


def test_values_are_parsed_or_named_with_their_line(tmp_path: Path) -> None:
    table = Table.read(write(tmp_path, 'a,b,c\n1,2.5,TRUE\n3,"\nnan",0\n'), ())
    np.testing.assert_array_equal(table.numbers("a"), [[1], [3]])
    assert table.choices("c", FLAGS) == [True, False]
    with pytest.raises(SourceError, match=r"table.csv, line 4: b is 'nan', expected a finite number"):
        table.numbers("a", "b")
    with pytest.raises(SourceError, match=r"line 2: b is '2.5', expected True or False"):
        table.choices("b", FLAGS)


def test_one_file_of_a_list_is_enough(tmp_path: Path) -> None:
    table = Table.read(write(tmp_path, "a\nx\ntable.csv\n"), ())
    table.require_files(tmp_path, table["a"])
    with pytest.raises(SourceError, match=r"none of the 1 images of .*table.csv exists, e.g. .*x; paths are"):
        table.require_files(tmp_path, table["a"][:1])


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("a;b\n1;2\n", "lacks the column a and b; expected a, b; found a;b; it is separated by semicolons"),
        ("a\tb\n", "it is separated by tabs, expected commas"),
        ("a,c\n", "lacks the column b; expected a, b; found a, c$"),
        ("", "found none"),
        ("a,b\n", "lists nothing below its header"),
        ("a,b,a\n", "has the column a twice"),
        ("a,b\n1,2\n1\n", "line 3: expected 2 fields, found 1"),
        ('a,b\n"1,2\n', "cannot read the table"),
    ],
)
def test_wrong_tables_are_named(tmp_path: Path, content: str, found: str) -> None:
    with pytest.raises(SourceError, match=found):
        Table.read(write(tmp_path, content), ("a", "b"))


def test_other_encodings_of_text(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes("a,b\n1,2\n".encode("utf-16"))
    with pytest.raises(SourceError, match="it is not in UTF-8"):
        Table.read(path, ("a",))
