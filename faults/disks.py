"""A small file system of its own that is full or read-only, and maps saved by programs that are killed."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import sleep

import numpy as np

from faults.maps import content, small_map
from faults.runs import ROOT, SECONDS, build, catalogue, ended, same
from faults.trial import Bad, Fault, no_loss
from netvlad_core.mapping.map_writer import copy_map
from netvlad_core.mapping.place_map import PlaceMap

# Saves one map into a folder again and again; another writer may be at work there.
_SAVER = """
import sys
from pathlib import Path
from netvlad_core.errors import NetvladError
from netvlad_core.mapping.map_writer import copy_map
from netvlad_core.mapping.place_map import PlaceMap
place_map, target = PlaceMap.open(Path(sys.argv[1])), Path(sys.argv[2])
print("ready", flush=True)
while True:
    try:
        copy_map(place_map, target)
    except NetvladError as error:
        assert "\\n" not in str(error)
"""


def small_disks(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """build-map over an older map on a disk that is too small or read-only, then on one with room.

    Needs the right to mount; without it there are no faults of this class.
    """
    disk = folder / "disk"
    disk.mkdir()
    if not _mounted(disk, "size=1m"):
        return
    _unmount(disk)
    drive = catalogue(folder / "drive")
    ended(build(drive, folder / "whole"))
    expected = PlaceMap.open(folder / "whole", verify=True)
    whole = sum(path.stat().st_size for path in (folder / "whole").iterdir()) // 1024
    for number in range(max(1, round(8 * share))):
        # Every second one has room for what is described, but hardly for the map that is made of it.
        size = int(whole * rng.uniform(*((2.3, 2.8) if number % 2 else (0.2, 3.3))))
        yield Fault(
            f"a disk of {size} kB", partial(_on_disk, drive, disk, f"size={size}k", expected), SECONDS
        )
    yield Fault("a read-only disk", partial(_on_disk, drive, disk, "size=8m,ro", expected), SECONDS)


def _mounted(disk: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
    return bool(shutil.which("mount")) and subprocess.run(command, capture_output=True).returncode == 0


def _unmount(disk: Path) -> None:
    subprocess.run(["umount", str(disk)], check=True)


def _on_disk(drive: Path, disk: Path, options: str, expected: PlaceMap) -> None:
    if not _mounted(disk, "size=8m"):
        raise OSError(f"{disk} is not mounted")
    try:
        older = content(small_map(disk / "map"))
        _again(disk, options)
        process = build(drive, disk / "map")
        said = ended(process)
        if process.returncode == 0:
            same(disk / "map", expected)  # there was room enough
            return
        with no_loss():
            found = content(disk / "map")
        if not said or found != older:
            raise Bad(f"loss: the older map is gone, or nothing is said: {said!r}")
        _again(disk, "size=8m,rw")
        ended(build(drive, disk / "map"))
        same(disk / "map", expected)
    finally:
        _unmount(disk)


def _again(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True, capture_output=True)


def saves(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """One program or two save a map into one folder, and are killed: one of the maps is there, and whole."""
    first, second = small_map(folder / "first"), folder / "second"
    drive = catalogue(folder / "drive")
    ended(build(drive, second))
    allowed = [content(first), content(second)]
    for number in range(max(1, round(20 * share))):
        moment, sources = round(float(rng.uniform(0.0, 0.3)), 4), [first, second][number % 2 :]
        yield Fault(
            f"{len(sources)} saving, killed after {moment} s",
            partial(_saved, first, sources, folder / f"target{number}", moment, allowed),
            SECONDS,
        )


def _saved(
    first: Path, sources: list[Path], target: Path, moment: float, allowed: list[tuple[object, ...]]
) -> None:
    copy_map(PlaceMap.open(first), target)
    savers = [
        subprocess.Popen(
            [sys.executable, "-c", _SAVER, str(source), str(target)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for source in sources
    ]  # fmt: skip
    for saver in savers:
        assert saver.stdout is not None
        saver.stdout.readline()
    sleep(moment)
    for saver in savers:
        saver.send_signal(signal.SIGKILL)
        ended(saver)
    with no_loss():
        found = content(target)
    if found not in allowed:
        raise Bad("silent: the map is a mixture")
    copy_map(PlaceMap.open(first), target)
    same(target, PlaceMap.open(first))
