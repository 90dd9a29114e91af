"""A fleet's store: push, pull and compact killed at any moment; nothing is lost, and the next run goes on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np

from faults.maps import small_map
from faults.runs import ROOT, SECONDS, ended
from faults.trial import Bad, Fault

_SITE = "town"
# Counts the places of each session, in a process of its own: LanceDB takes memory that the trial would count.
_COUNT = """
import collections, json, sys
from netvlad_core.fleet.store import FleetStore
places = FleetStore(sys.argv[1]).tables._places.search().select(["session", "place"]).limit(None).to_arrow()
rows = [tuple(row.values()) for row in places.to_pylist()]
print(json.dumps([len(rows), len(set(rows))]))
"""


def fleets(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """`netvlad fleet push`, `pull` or `compact`, killed once or twice and then run to its end."""
    for name in ("first", "second"):  # of one content each: the name is part of it
        small_map(folder / name)
    for number in range(max(1, round(24 * share))):
        action = (_push, _pull, _compact)[number % 3]
        moments = rng.uniform(0.3, 2.5, int(rng.integers(1, 3))).round(3).tolist()
        yield Fault(
            f"{action.__name__[1:]} killed after {moments} s",
            partial(action, folder, folder / str(number), moments),
            SECONDS,
        )


def _push(maps: Path, work: Path, moments: list[float]) -> None:
    store = work / "store"
    command = ["push", str(maps / "first"), "--store", str(store), "--site", _SITE]
    _killed_and_done(command, moments)
    _pulled(store, work / "pulled", maps / "first")
    _each_once(store, 6)


def _pull(maps: Path, work: Path, moments: list[float]) -> None:
    store, output = work / "store", work / "map"
    for name in ("first", "second"):
        _done(["push", str(maps / name), "--store", str(store), "--site", _SITE, "--publish"])
    shutil.copytree(maps / "first", output)
    command = ["pull", "--store", str(store), "--site", _SITE, "--output", str(output)]
    for moment in moments:
        _killed(command, moment)
        if _content(output) not in (_content(maps / "first"), _content(maps / "second")):
            raise Bad("loss: the map at the output is neither the older nor the newer one")
    _pulled(store, output, maps / "second")
    if left := [path.name for path in work.iterdir() if path.name not in ("store", "map")]:
        raise Bad(f"growth: {left[0]} stays beside the map")


def _compact(maps: Path, work: Path, moments: list[float]) -> None:
    store = work / "store"
    for name in ("first", "second"):
        _done(["push", str(maps / name), "--store", str(store), "--site", _SITE])
    _killed_and_done(
        ["compact", "--store", str(store), "--site", _SITE, "--same-frame", "--no-prune"], moments
    )
    log = json.loads(_done(["log", "--store", str(store), "--site", _SITE, "--json"]))
    versions = [entry for entry in log if entry["version"]]
    if len(versions) < 2 or versions[-1]["places"] != 12 or any(entry["waits"] for entry in log):
        raise Bad(f"loss: the newest version does not hold both maps: {versions}")
    _each_once(store, 12)
    _pulled(store, work / "pulled", maps / "first", "--version", "1")


def _pulled(store: Path, output: Path, expected: Path, *options: str) -> None:
    _done(["pull", "--store", str(store), "--site", _SITE, "--output", str(output), *options])
    if _content(output) != _content(expected):
        raise Bad("silent: the map that was pulled is another one")


def _each_once(store: Path, count: int) -> None:
    command = [sys.executable, "-c", _COUNT, str(store)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    if json.loads(said) != [count, count]:
        raise Bad(f"loss: {said.strip()} places in the table, all and different ones, instead of {count}")


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _killed_and_done(command: list[str], moments: list[float]) -> None:
    for moment in moments:
        _killed(command, moment)
    _done(command)


def _killed(command: list[str], moment: float) -> None:
    process = _started(command)
    sleep(moment)
    process.kill()
    process.communicate()


def _done(command: list[str]) -> str:
    """Output of a command; Bad if it fails."""
    process = _started(command)
    output: Any = process.stdout
    said = output.read()
    error = ended(process)
    if process.returncode:
        raise Bad(f"loss: {command[0]} ended with status {process.returncode}: {error}")
    return said


def _started(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "netvlad_core", "fleet", *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
