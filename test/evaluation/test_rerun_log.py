"""A drive logged for Rerun, read back from its file; without Rerun a sentence says what to install."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from netvlad_core.cli import main
from netvlad_core.errors import NetvladError
from netvlad_core.evaluation.rerun_log import RerunLog
from netvlad_core.mapping.place_map import PlaceMap
from support.street import street, write_catalogue


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    return write_catalogue(tmp_path / "drive", street(seed=1, metres=80), range(1, 79, 2), gain=0.9)


def test_a_drive_is_recorded_image_by_image(street_map: PlaceMap, drive: Path, tmp_path: Path) -> None:
    pytest.importorskip("rerun")
    chunks = pytest.importorskip("rerun.chunk", reason="an older Rerun cannot read its files back")
    recording, table = tmp_path / "drive.rrd", tmp_path / "answers.csv"
    arguments = ["localize", str(street_map.path), str(drive), "--output", str(table), "--quiet"]
    for _ in range(2):  # an earlier recording is replaced
        assert main([*arguments, "--rerun", str(recording)]) == 0
    rows: dict[str, int] = {}
    for chunk in chunks.RrdReader(recording).stream():
        rows[chunk.entity_path] = rows.get(chunk.entity_path, 0) + chunk.num_rows
    localized = sum(",LOCALIZED," in line for line in table.read_text().splitlines())
    assert localized > 10
    assert (rows["/map/places"], rows["/map/path"], rows["/map/pose"]) == (1, localized, 39)
    for name in ("/query/image", "/place/image", "/state/probability", "/state/log", "/map/place"):
        assert rows[name] == 39


def test_a_strangers_recording_stays(
    street_map: PlaceMap, drive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = tmp_path / "drive.rrd"
    recording.write_bytes(b"RRF2 of another application")
    arguments = ["localize", str(street_map.path), str(drive), "--output", str(tmp_path / "answers.csv")]
    assert main([*arguments, "--rerun", str(recording)]) == 1
    assert "no earlier run has written it" in capsys.readouterr().err


def test_table_and_recording_are_two_files(
    street_map: PlaceMap, drive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = str(tmp_path / "answers.csv")
    assert main(["localize", str(street_map.path), str(drive), "--output", output, "--rerun", output]) == 1
    assert "choose another name for --rerun" in capsys.readouterr().err


def test_without_rerun_a_sentence_says_what_to_install(
    street_map: PlaceMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(NetvladError, match="pip install rerun-sdk"):
        RerunLog(street_map, tmp_path / "drive.rrd")
