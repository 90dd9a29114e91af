"""Whole programs: killed at any moment, two at once, and without room on the disk."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any

import cv2
import numpy as np

from faults.maps import small_map
from faults.trial import Bad, Fault, no_loss
from netvlad_core.mapping.place_map import PlaceMap

_IMAGES = 24
SPACING = 3  # metres
SECONDS = 200  # for a few programs one after the other, on a busy machine
ROOT = Path(__file__).resolve().parents[1]


def catalogue(folder: Path, first: int = 0) -> Path:
    """A catalogue of images along a line, of all or from one on."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    rows = ["image,x,y,yaw"]
    for number in range(_IMAGES):
        picture = cv2.resize(
            rng.integers(0, 256, (9, 12, 3), np.uint8), (320, 240), interpolation=cv2.INTER_CUBIC
        )
        cv2.imwrite(str(folder / f"{number:03d}.png"), picture)
        rows.append(f"{number:03d}.png,{SPACING * number},0,0")
    (folder / "drive.csv").write_text("\n".join([rows[0], *rows[1 + first :]]) + "\n")
    return folder / "drive.csv"


def build(drive: Path, output: Path, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "netvlad_core", "build-map", str(drive), "--output", str(output)]
    command += ["--weights", "packaged", "--precision", "float32", "--quiet"]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def ended(process: subprocess.Popen[str]) -> str:
    """What a program said at its end; one that shows a traceback is not survived."""
    err = process.communicate()[1]
    if "Traceback" in err:
        raise Bad(f"crash: {err.strip().splitlines()[-1]}")
    return err.strip()


def same(path: Path, expected: PlaceMap) -> None:
    with no_loss():
        found = PlaceMap.open(path, verify=True)
    files = {name: stated for name, stated in found.header.files.items()}
    if files != expected.header.files:
        raise Bad("silent: the map is another one")
    left = [item.name for item in path.parent.glob(f".{path.name}*")]
    if left:
        raise Bad(f"growth: {', '.join(left)} stays beside the map")


def killed(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """build-map killed once to three times at random moments, then run to its end."""
    drive = catalogue(folder / "drive")
    ended(build(drive, folder / "whole"))
    expected = PlaceMap.open(folder / "whole", verify=True)
    for number in range(max(1, round(25 * share))):
        moments = rng.uniform(0.2, 1.2, int(rng.integers(1, 4))).round(3).tolist()
        yield Fault(
            f"build-map killed after {moments} s",
            partial(_killed, drive, folder / f"map{number}", moments, expected),
            SECONDS,
        )


def _killed(drive: Path, output: Path, moments: list[float], expected: PlaceMap) -> None:
    for moment in moments:
        process = build(drive, output)
        sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    ended(build(drive, output))
    same(output, expected)


def together(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """Two builds of one output, a moment apart: one wins, the other one refuses or finds the map made."""
    drive = catalogue(folder / "drive")
    ended(build(drive, folder / "whole"))
    expected = PlaceMap.open(folder / "whole", verify=True)
    for number in range(max(1, round(15 * share))):
        apart = round(float(rng.uniform(0.0, 0.8)), 3)
        yield Fault(
            f"two builds, {apart} s apart",
            partial(_together, drive, folder / f"map{number}", apart, expected),
            SECONDS,
        )


def _together(drive: Path, output: Path, apart: float, expected: PlaceMap) -> None:
    first = build(drive, output)
    sleep(apart)
    second = build(drive, output)
    said = [ended(first), ended(second)]
    if sorted((first.returncode, second.returncode)) not in ([0, 0], [0, 1]):
        raise Bad(f"loss: no build has ended: {said}")
    same(output, expected)


def full_disks(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """No file may grow beyond a limit, as on a full disk: an older map stays, and the next run goes on."""
    drive = catalogue(folder / "drive")
    ended(build(drive, folder / "whole"))
    expected = PlaceMap.open(folder / "whole", verify=True)
    for number in range(max(1, round(15 * share))):
        limit = int(rng.integers(1, 700_000))
        yield Fault(
            f"no room beyond {limit} bytes a file",
            partial(_full, drive, folder / f"map{number}", limit, expected),
            SECONDS,
        )


def _full(drive: Path, output: Path, limit: int, expected: PlaceMap) -> None:
    small_map(output)
    older = PlaceMap.open(output, verify=True).header

    def restrict() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    process = build(drive, output, preexec_fn=restrict)
    said = ended(process)
    if process.returncode == 0:
        same(output, expected)  # there was room enough
        return
    with no_loss():
        found = PlaceMap.open(output, verify=True).header
    if not said or found != older:
        raise Bad(f"loss: the older map is gone, or nothing is said: {said!r}")
    ended(build(drive, output))
    same(output, expected)


def strangers(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """An output that is somebody else's: refused, and not a byte of it is touched."""
    drive = catalogue(folder / "drive")
    others = {
        "a map.json of a game": {"map.json": b'{"type": "map", "layers": []}', "thesis.tex": b"ten years"},
        "a map and notes": {**_files(small_map(folder / "real")), "notes.txt": b"mine"},
        "letters": {"a.txt": b"dear"},
        "half a map": {"map.json": (folder / "real" / "map.json").read_bytes()[:200], "poses.npy": b"x"},
    }
    for name, content in others.items():
        yield Fault(name, partial(_stranger, drive, folder / name.replace(" ", "_"), content), SECONDS)


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _stranger(drive: Path, output: Path, content: dict[str, bytes]) -> None:
    output.mkdir()
    for name, data in content.items():
        (output / name).write_bytes(data)
    process = build(drive, output)
    said = ended(process)
    if process.returncode == 0 or not said:
        raise Bad(f"loss: it is replaced: {said!r}")
    if _files(output) != dict(sorted(content.items())):
        raise Bad("loss: files are changed or gone")
