"""`netvlad map`: maps merged, extended, pruned, split and so on by programs that are killed."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import monotonic, sleep

import numpy as np

from faults.live import picture_map
from faults.maps import small_map
from faults.runs import ROOT, SECONDS, catalogue, ended
from faults.trial import Bad, Fault, no_loss
from netvlad_core.mapping.place_map import PlaceMap

_UNKNOWN = 6  # images of a drive that the map to be extended does not know


def care(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """Each action killed at a random moment: its output is as before or done, and a second run does it."""
    small, older = small_map(folder / "small"), small_map(folder / "older")
    places, drive = folder / "pictures" / "map", folder / "drive" / "drive.csv"
    actions: dict[str, list[str | Path]] = {
        "merge": [small, small, "--transform", "0 9 0 0 0 0 1"],
        "extend": [places, drive, "--quiet"],
        "prune": [small, "--places", "4", "--loss", "1"],
        "redescribe": [places, "--weights", "packaged", "--quiet"],
        "split": [small, "--area", "-1", "-1", "9", "1"],
        "export": [small, "--format", "csv"],
        "strip-images": [small],
        "upgrade": [],  # in its place
    }
    for number in range(max(1, round(40 * share))):
        action = list(actions)[number % len(actions)]
        if places in actions[action] and not places.exists():
            picture_map(places.parent, first=_UNKNOWN)
            catalogue(drive.parent)
        command = [sys.executable, "-m", "netvlad_core", "map", action, *map(str, actions[action])]
        command += ["--output"] * (action != "upgrade")
        if not (whole := folder / action / "whole").exists():
            if action != "export":
                shutil.copytree(older, whole)
            whole.parent.mkdir(exist_ok=True)
            started = monotonic()
            ended(_run(command, whole))
            seconds = monotonic() - started
            (folder / action / "seconds").write_text(str(seconds))
        seconds = float((folder / action / "seconds").read_text())
        part = round(float(rng.uniform(0.2, 1.0)), 3)
        read = [word for word in actions[action] if isinstance(word, Path) and word.is_dir()]
        target = folder / f"{action}{number}" / "output"
        if action != "export":
            shutil.copytree(older, target)
        trial = partial(_killed, command, target, part * seconds, read, whole)
        yield Fault(f"map {action} killed after {part} of its time", trial, SECONDS)


def _run(command: list[str], output: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*command, str(output)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _killed(command: list[str], output: Path, moment: float, read: list[Path], whole: Path) -> None:
    with no_loss():
        inputs, before, done = [_state(path) for path in read], _state(output), _state(whole)
    process = _run(command, output)
    sleep(moment)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with no_loss():
        found = _state(output)
    if found not in (before, done):
        raise Bad("loss: something else is at the output")
    said = ended(_run(command, output))
    with no_loss():
        found = _state(output)
    if found != done:
        raise Bad(f"loss: a second run does not do it: {said}")
    if left := [item.name for item in output.parent.iterdir() if item != output]:
        raise Bad(f"growth: {', '.join(left)} stays beside the output")
    with no_loss():
        if [_state(path) for path in read] != inputs:
            raise Bad("loss: what was read is changed")


def _state(path: Path) -> object:
    """What is at a place: the files of a whole map, the content of a file, or nothing."""
    if path.is_dir():
        return PlaceMap.open(path, verify=True).header.files
    return path.read_bytes() if path.exists() else None
