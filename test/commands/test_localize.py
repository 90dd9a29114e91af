"""`netvlad localize`: its table, the trajectory beside it, and what it does not touch."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import pytest

from netvlad_core.cli import main
from netvlad_core.commands.output import MOSTLY_LEFT_OUT
from netvlad_core.data.trajectory import read_tum
from netvlad_core.mapping.place_map import PlaceMap
from support.street import street, write_catalogue

_ROOT = Path(__file__).resolve().parents[2]
_FRONTS = street(seed=1, metres=80)


def _localize(place_map: PlaceMap, drive: Path, output: Path | str, *more: str) -> int:
    return main(["localize", str(place_map.path), str(drive), "--quiet", "--output", str(output), *more])


def test_table_and_trajectory(street_map: PlaceMap, tmp_path: Path) -> None:
    drive = write_catalogue(tmp_path / "drive", street(seed=1, metres=80), range(1, 79, 2), gain=0.9)
    (tmp_path / "drive" / "003.png").write_bytes(b"broken")
    table, poses = tmp_path / "answers.csv", tmp_path / "answers.tum"
    for mode, least in (["--single-image"], 20), ([], 20):
        assert _localize(street_map, drive, table, *mode) == 0
        with table.open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 38  # of 39, one is broken
        assert all(bool(row["belief"]) == (not mode) for row in rows)
        # What a precision/recall curve needs, of the images without a pose as well.
        assert all(row["place"] and row["inliers"] == "0" for row in rows)
        assert len({row["score"] for row in rows}) > 30
        localized = [row for row in rows if row["state"] == "LOCALIZED"]
        assert len(read_tum(poses)) == len(localized) > least
        for row in localized:
            assert abs(float(row["x"]) - (1 + 2 * int(Path(row["image"]).stem))) < 10


def test_inputs_and_strangers_stay_as_they_are(
    street_map: PlaceMap, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drive = write_catalogue(tmp_path / "drive", _FRONTS, range(0, 9, 3))
    truth = tmp_path / "tuesday.tum"
    truth.write_text("# timestamp tx ty tz qx qy qz qw\n0.0 0 0 0 0 0 0 1\n")
    before = {path: path.read_bytes() for path in (drive, truth)}
    for output in (
        drive,
        tmp_path / "tuesday.csv",
        tmp_path / "drive" / "000.png",
        street_map.path / "map.json",
    ):
        assert _localize(street_map, drive, output) == 1
        assert capsys.readouterr().err.count("\n") == 1
    assert {path: path.read_bytes() for path in (drive, truth)} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drive", "tuesday.tum"]
    PlaceMap.open(street_map.path, verify=True)


@pytest.mark.parametrize("output", ["answers.tum", "answers.TUM", "folder/", ""])
def test_a_name_that_is_no_table_is_refused(
    street_map: PlaceMap, tmp_path: Path, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        _localize(street_map, tmp_path, f"{tmp_path}/{output}" if output else "")
    assert ended.value.code == 2
    assert "argument --output: " in capsys.readouterr().err


def test_dated_names_have_a_trajectory_each_and_another_run_replaces_its_own(
    street_map: PlaceMap, tmp_path: Path
) -> None:
    drive = write_catalogue(tmp_path / "drive", _FRONTS, range(0, 9, 3))
    for _ in range(2):
        for day in ("01", "02"):
            assert _localize(street_map, drive, tmp_path / "out" / f"run_2024.05.{day}") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if "settings" not in path.name) == [
        "run_2024.05.01", "run_2024.05.01.tum", "run_2024.05.02", "run_2024.05.02.tum",
    ]  # fmt: skip


def test_names_that_are_no_text_are_read_and_written(street_map: PlaceMap, tmp_path: Path) -> None:
    """Bytes that are no UTF-8, spaces and signs, in every path, with an output in plain ASCII."""
    folder = tmp_path / os.fsdecode(b"drive #1 100% \xff")
    write_catalogue(tmp_path / "plain", _FRONTS, range(0, 9, 3))
    (tmp_path / "plain" / "catalogue.csv").unlink()
    shutil.move(tmp_path / "plain" / "000.png", tmp_path / "plain" / os.fsdecode(b"\xfe.png"))
    shutil.move(tmp_path / "plain", folder)
    place_map = tmp_path / os.fsdecode(b"map \xfd")
    shutil.copytree(street_map.path, place_map)
    output = tmp_path / os.fsdecode(b"out \xfc.csv")
    command = [
        sys.executable,
        "-m",
        "netvlad_core",
        "localize",
        f"{place_map}/",
        f"{folder}/",
        "--output",
        os.fspath(output),
    ]
    done = subprocess.run(
        command, cwd=_ROOT, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, check=False
    )
    assert done.returncode == 0, done.stderr
    assert rb"out \udcfc.csv: 3 images" in done.stdout
    assert b"\xfe.png," in output.read_bytes()


def test_where_most_is_left_out_the_last_line_and_the_status_say_so(
    street_map: PlaceMap, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drive = write_catalogue(tmp_path / "drive", _FRONTS, range(0, 30, 3))
    for index in range(6):
        (tmp_path / "drive" / f"{index:03d}.png").write_bytes(b"\x89PNG broken")
    assert _localize(street_map, drive, tmp_path / "out.csv") == MOSTLY_LEFT_OUT
    out, err = capsys.readouterr()
    assert "left out: " in out
    assert err.splitlines()[-1].startswith("warning: 6 of 10 images were left out: 6 damaged image")
    assert (tmp_path / "out.csv").read_text().count("\n") == 5


def test_ctrl_c_leaves_an_older_table_whole(street_map: PlaceMap, tmp_path: Path) -> None:
    drive = write_catalogue(tmp_path / "drive", street(seed=2, metres=300), [x / 4 for x in range(1200)])
    output = tmp_path / "out" / "table.csv"
    output.parent.mkdir()
    output.write_text("image,stamp,state,place\nold,and,whole,1\n")
    command = [sys.executable, "-m", "netvlad_core", "localize", str(street_map.path), str(drive)]
    command += ["--output", str(output)]
    process = subprocess.Popen(command, cwd=_ROOT, stderr=subprocess.PIPE, text=True)
    deadline = monotonic() + 60
    while len(list(output.parent.glob(".netvlad-*/*"))) < 1 and monotonic() < deadline:
        sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip() == "netvlad localize: stopped"
    assert list(output.parent.iterdir()) == [output]
    assert output.read_text() == "image,stamp,state,place\nold,and,whole,1\n"
