"""kill -9 in the middle of a build: the old map stays, and the second run continues to the same result."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import numpy as np

from netvlad_core.data.images import encode_jpeg
from netvlad_core.mapping.place_map import PlaceMap
from support.street import street, view

_ROOT = Path(__file__).resolve().parents[2]
_IMAGES = 160


def _write_drive(folder: Path) -> Path:
    folder.mkdir()
    fronts = street(3, _IMAGES + 20)
    rows = ["image,x,y"]
    for index in range(_IMAGES):
        (folder / f"{index:03}.jpg").write_bytes(encode_jpeg(view(fronts, float(index)), 90))
        rows.append(f"{index:03}.jpg,{index},0")
    (folder / "drive.csv").write_text("\n".join(rows))
    return folder / "drive.csv"


def _command(drive: Path, output: Path, checkpoint: Path) -> list[str]:
    options = ["--output", str(output), "--weights", str(checkpoint), "--batch-size", "2", "--quiet"]
    return [sys.executable, "-m", "netvlad_core", "build-map", str(drive), *options]


def _kill_in_the_middle(command: list[str], journal: Path, lines: int) -> int:
    process = subprocess.Popen(command, cwd=_ROOT)
    deadline = monotonic() + 60
    while monotonic() < deadline and process.poll() is None:
        if journal.is_file() and len(journal.read_bytes().splitlines()) >= lines:
            process.send_signal(signal.SIGKILL)
            break
        sleep(0.002)
    assert process.wait() == -signal.SIGKILL, "the build ended before it could be killed"
    return len([line for line in journal.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")])


def test_killed_build_keeps_the_old_map_and_is_continued(tmp_path: Path, checkpoint: Path) -> None:
    drive = _write_drive(tmp_path / "drive")
    short = tmp_path / "drive" / "short.csv"
    short.write_text("\n".join((drive.read_text().splitlines())[:6]))
    output, reference = tmp_path / "map", tmp_path / "reference"
    subprocess.run(_command(short, output, checkpoint), cwd=_ROOT, check=True)
    subprocess.run(_command(drive, reference, checkpoint), cwd=_ROOT, check=True)
    old = PlaceMap.open(output, verify=True).header

    journal = tmp_path / ".map.partial" / "journal.jsonl"
    finished = _kill_in_the_middle(_command(drive, output, checkpoint), journal, lines=10)
    assert 10 <= finished < _IMAGES
    assert PlaceMap.open(output, verify=True).header == old

    # What was described already is not read again: size and time say that it is the same drive.
    first = tmp_path / "drive" / "000.jpg"
    status = first.stat()
    first.write_bytes(bytes(status.st_size))
    os.utime(first, ns=(status.st_atime_ns, status.st_mtime_ns))
    subprocess.run(_command(drive, output, checkpoint), cwd=_ROOT, check=True)
    continued, whole = PlaceMap.open(output, verify=True), PlaceMap.open(reference)
    assert continued.header.places == _IMAGES
    assert continued.header.skipped == {}
    assert continued.names == whole.names
    np.testing.assert_array_equal(continued.poses, whole.poses)
    np.testing.assert_allclose(continued.descriptors, whole.descriptors, atol=1e-5)
    assert not journal.parent.exists()
    assert json.loads((output / "map.json").read_text())["places"] == _IMAGES
