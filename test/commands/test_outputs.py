"""Outputs never replace an input or a stranger's file; an earlier one of ours gives way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netvlad_core.commands.outputs import beside, check_outputs
from netvlad_core.errors import NetvladError

_MARK = "image,stamp,state,place"


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("tuesday.csv", "tuesday.tum"),
        ("tuesday.CSV", "tuesday.tum"),
        ("run_2024.05.01", "run_2024.05.01.tum"),
        ("answers", "answers.tum"),
        ("a.b.csv", "a.b.tum"),
        ("table.txt", "table.txt.tum"),
        ("campus.yaml", "campus.tum"),
    ],
)
def test_a_second_output_has_a_name_of_its_own(table: str, name: str) -> None:
    assert beside(Path("out", table), ".tum") == Path("out", name)


@pytest.mark.parametrize("how", ["same", "symbolic link", "hard link", "other spelling", "link to a folder"])
def test_an_input_is_never_an_output(tmp_path: Path, how: str) -> None:
    """Not even where an earlier run of ours has written the input."""
    source = tmp_path / "drive" / "table.csv"
    source.parent.mkdir()
    source.write_text(f"{_MARK}\n")
    output = tmp_path / "out.csv"
    if how == "symbolic link":
        output.symlink_to(source)
    elif how == "hard link":
        os.link(source, output)
    elif how == "link to a folder":
        (tmp_path / "again").symlink_to(source.parent)
        output = tmp_path / "again" / "table.csv"
    else:
        output = source if how == "same" else tmp_path / "drive" / ".." / "drive" / "table.csv"
    with pytest.raises(NetvladError, match="is read by this command, too"):
        check_outputs({output: _MARK}, (None, tmp_path / "nowhere", source))


def test_a_stranger_stays_and_an_earlier_output_gives_way(tmp_path: Path) -> None:
    ours, empty, stranger = tmp_path / "ours.csv", tmp_path / "empty.csv", tmp_path / "stranger.csv"
    ours.write_text(f"{_MARK},score\n")
    empty.touch()
    stranger.write_text("image,x,y\n")
    check_outputs({ours: _MARK, empty: _MARK, tmp_path / "new" / "deep.csv": _MARK}, ())
    assert not (tmp_path / "new").exists()
    with pytest.raises(NetvladError, match=r"stranger.csv exists, and no earlier run has written it"):
        check_outputs({stranger: _MARK}, ())
    with pytest.raises(NetvladError, match="is a folder; expected the name of a file"):
        check_outputs({tmp_path: _MARK}, ())
    with pytest.raises(NetvladError, match=r"cannot be written: .*stranger.csv is no folder"):
        check_outputs({stranger / "below.csv": _MARK}, ())
    with pytest.raises(NetvladError, match="/dev/null exists, and no earlier run"):
        check_outputs({Path("/dev/null"): _MARK}, ())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(NetvladError, match=f"no permission to write in {tmp_path}"):
        check_outputs({tmp_path / "new.csv": _MARK}, ())


def test_a_dangling_link_is_a_new_file(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "later.csv")
    check_outputs({tmp_path / "link.csv": _MARK}, ())
