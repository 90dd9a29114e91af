"""Outputs are replaced whole or not at all, and never replace an input or a stranger's file."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Any

import pytest

from netvlad_core import files
from netvlad_core.errors import NetvladError
from netvlad_core.files import (
    beside,
    check_outputs,
    read_file,
    replace_directory,
    sha256_of,
    sole_writer,
    user_path,
    written_whole,
)
from netvlad_core.mapping.place_map import PlaceMap

_MARK = "image,stamp,state,place"


def _folder(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "a").write_text(content)
    (path / "b").write_text(content)
    return path


@pytest.mark.parametrize("exchange", [True, False], ids=["renameat2", "without an exchange"])
def test_old_folder_gives_way_and_nothing_is_left(
    tmp_path: Path, exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchange:
        monkeypatch.setattr(files, "_exchange", lambda a, b: False)
    _folder(tmp_path / "target", "old")
    (tmp_path / "target" / "only in the old one").touch()
    _folder(tmp_path / ".target.previous", "of a stranger")
    replace_directory(_folder(tmp_path / "new", "new"), tmp_path / "target")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".target.previous", "target"]
    assert (tmp_path / ".target.previous" / "a").read_text() == "of a stranger"
    assert {path.name: path.read_text() for path in (tmp_path / "target").iterdir()} == {
        "a": "new",
        "b": "new",
    }


def test_new_name(tmp_path: Path) -> None:
    replace_directory(_folder(tmp_path / "new", "new"), tmp_path / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_reader_never_sees_a_mixture_or_nothing(tmp_path: Path) -> None:
    """A thread reads while another one replaces the folder a hundred times."""
    target, done = _folder(tmp_path / "target", "0"), Event()

    def read() -> int:
        seen = 0
        while not done.is_set():
            assert (target / "a").exists()
            seen += 1
        return seen

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        for number in range(100):
            replace_directory(_folder(tmp_path / "new", str(number)), target)
        done.set()
        assert reading.result() > 0
    assert (target / "b").read_text() == "99"


@pytest.mark.parametrize("size", [0, 1, (1 << 20) + 1])
def test_checksum(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(bytes(range(256)) * (size // 256) + bytes(size % 256))
    assert sha256_of(tmp_path / "file") == hashlib.sha256((tmp_path / "file").read_bytes()).hexdigest()


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "table.csv"
    with written_whole(target) as partial:
        partial.write_text("old")
        assert not target.exists()
    target.chmod(0o640)
    link = tmp_path / "link.csv"
    link.symlink_to(target)
    with written_whole(link) as partial:
        partial.write_text("new")
        assert target.read_text() == "old"
    assert (target.read_text(), link.is_symlink()) == ("new", True)
    assert [path.name for path in target.parent.iterdir()] == ["table.csv"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_older_file_stays_when_writing_stops(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "table.csv"
    target.write_text("old and whole")

    def write() -> None:
        with written_whole(target) as partial:
            partial.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert target.read_text() == "old and whole"
    assert list(tmp_path.iterdir()) == [target]


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    program = f"""
import os, signal, sys
from pathlib import Path
from netvlad_core.files import written_whole
with written_whole(Path({str(tmp_path / "killed.csv")!r})) as partial:
    partial.write_text("half")
    print("writing", flush=True)
    sys.stdin.read()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    strangers = [tmp_path / ".netvlad-mine", tmp_path / ".netvlad-empty", tmp_path / ".netvlad-file"]
    strangers[0].mkdir()
    (strangers[0] / "notes.txt").touch()
    strangers[1].mkdir()
    strangers[2].touch()
    target = tmp_path / "table.csv"
    for is_alive in (True, False):
        with written_whole(target) as outer, written_whole(tmp_path / "table.tum") as inner:
            outer.write_text("table")
            inner.write_text("poses")
        left = set(tmp_path.glob(".netvlad-*")) - set(strangers)
        assert len(left) == is_alive
        process.kill()
        process.communicate()
    assert all(path.exists() for path in strangers)
    assert target.read_text() == "table"
    os.utime(strangers[1], (0, 0))  # whoever made it has had the time to fill it
    with written_whole(target):
        pass
    assert [path.exists() for path in strangers] == [True, False, True]


def test_ctrl_c_while_a_name_is_made_leaves_nothing(tmp_path: Path) -> None:
    """At each line of Python that runs before the block does."""
    target = tmp_path / "table.csv"
    target.write_text("old and whole")
    lines = 0

    def stop(_: FrameType, event: str, __: Any) -> Any:
        nonlocal lines
        lines -= event == "line"
        if event == "line" and lines == 0:
            sys.settrace(None)
            raise KeyboardInterrupt
        return stop

    def write(at: int) -> bool:
        """Whether Ctrl-C at this line came before the block."""
        nonlocal lines
        lines, earlier = at, sys.gettrace()
        sys.settrace(stop)
        try:
            with written_whole(target) as partial:
                sys.settrace(earlier)
                partial.write_text("new")
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(earlier)
        return False

    moments = 1
    while write(moments):
        assert list(tmp_path.iterdir()) == [target]
        assert target.read_text() == "old and whole"
        moments += 1
    assert moments > 50
    assert target.read_text() == "new"


@pytest.mark.parametrize(
    "text",
    [
        "a b",
        "drive #1",
        "100%",
        "%20",
        "é ü 漢",
        "a'b\"c",
        "$HOME",
        "a;b",
        "-x",
        os.fsdecode(b"\xff\xfe.csv"),
        "a\nb",
    ],
)
def test_a_path_with_odd_characters_is_what_it_is(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(text).write_text("found")
    assert user_path(text).read_text() == "found"
    assert user_path(f"./{text}/") == Path(text)


def test_home_folders_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~") == tmp_path
    assert user_path("~/maps/campus/") == tmp_path / "maps" / "campus"
    name = pwd.getpwuid(os.getuid())
    assert user_path(f"~{name.pw_name}/maps") == Path(name.pw_dir, "maps")
    assert user_path("maps/~/x") == Path("maps/~/x")


def test_no_path_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in ("", "a\0b"):
        with pytest.raises(NetvladError, match="expected the name of a file or folder"):
            user_path(text)
    with pytest.raises(NetvladError, match="there is no user nobody-here with a home folder"):
        user_path("~nobody-here/maps")
    Path("~nobody-here").touch()
    assert user_path("~nobody-here") == Path("~nobody-here")


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


def test_what_is_no_part_of_a_map_is_not_written_into_it(street_map: PlaceMap, tmp_path: Path) -> None:
    place_map = Path(shutil.copytree(street_map.path, tmp_path / "map"))
    for name in ("answers.csv", "results/answers.csv"):
        with pytest.raises(NetvladError, match=r"answers\.csv lies in the map"):
            check_outputs({place_map / name: "mark"}, [])
    check_outputs({place_map / "model.int8.onnx": "mark"}, [])
    (tmp_path / "map.json").write_text('{"type": "map"}')  # of a game
    check_outputs({tmp_path / "answers.csv": "mark"}, [])


@pytest.mark.parametrize("name", [".campus.partial", ".netvlad-0"])
def test_names_of_unfinished_work_are_no_outputs(name: str, tmp_path: Path) -> None:
    with pytest.raises(NetvladError, match="a name for unfinished work"), sole_writer(tmp_path / name):
        pass
    assert not list(tmp_path.iterdir())


def test_a_dangling_link_is_a_new_file(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "later.csv")
    check_outputs({tmp_path / "link.csv": _MARK}, ())


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    """Of one output; the others are refused at once, in this process and in others."""
    output = tmp_path / "maps" / "campus"
    program = f"""
from pathlib import Path
from netvlad_core.files import sole_writer
with sole_writer(Path({str(output)!r})) as work:
    print(sorted(path.name for path in work.iterdir()))
"""
    with sole_writer(output) as work:
        with pytest.raises(NetvladError, match="another build of campus is running"), sole_writer(output):
            pass
        other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert "another build of campus is running" in other.stderr
        with sole_writer(output.with_name("other")):
            pass
        (work / "unfinished").touch()
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert other.stdout == "['unfinished']\n", other.stderr
    (work / "unfinished").unlink()
    with sole_writer(output):
        pass
    assert list(output.parent.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_stands_in_the_place_of_the_work_is_left_alone(kind: str, tmp_path: Path) -> None:
    work = tmp_path / ".campus.partial"
    work.touch() if kind == "file" else work.symlink_to(tmp_path)
    with pytest.raises(NetvladError, match="is in the way"), sole_writer(tmp_path / "campus"):
        pass
    assert os.path.lexists(work)


def test_folder_that_one_is_in_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    with sole_writer(Path()) as work:
        assert work == tmp_path / ".run.partial"


def test_many_writers_take_turns(tmp_path: Path) -> None:
    """The folder that one of them removes is not the one that another one has locked."""
    inside, seen = [0], []

    def write() -> None:
        for _ in range(100):
            try:
                with sole_writer(tmp_path / "campus"):
                    inside[0] += 1
                    seen.append(inside[0])
                    inside[0] -= 1
            except NetvladError:
                pass

    with ThreadPoolExecutor(4) as pool:
        for writing in [pool.submit(write) for _ in range(4)]:
            writing.result()
    assert set(seen) == {1}
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(b"image,x,y")
    (tmp_path / "link.csv").symlink_to("table.csv")
    assert read_file(tmp_path / "table.csv") == read_file(tmp_path / "link.csv", most=9) == b"image,x,y"


def test_what_has_no_end_or_no_name_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(b"image,x,y")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name, found in {
        "pipe": "is no regular file",
        "zero": "is no regular file",
        "": "Is a directory",
        "nowhere": "No such file",
        "null\0byte": "no file can have this name",
        "n" * 300: "File name too long",
        "table.csv": "has more than 8 bytes",
    }.items():
        with pytest.raises(OSError, match=found):
            read_file(tmp_path / name, most=8)
