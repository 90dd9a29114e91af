"""Bags with cuts, holes and flipped bits in each of their files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.build_map_scaling import write_drive
from faults.damage import damaged
from faults.inputs import scene
from faults.trial import Bad, Fault
from netvlad_core.data.sources import open_source
from netvlad_core.errors import ImageError

_FRAMES = 12


def bags(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """A drive of twelve images with odometry, as MCAP with metadata."""
    good = folder / "good"
    write_drive(good, [scene(48, 64)], _FRAMES)
    stamps = {frame.stamp for frame in open_source(good)}
    for file in sorted(good.iterdir()):
        for what, data in damaged(file.read_bytes(), rng, round(400 * share)):
            yield Fault(
                f"{file.name}, {what}", partial(_read, good, folder / "work", file.name, data, stamps)
            )


def _read(good: Path, work: Path, name: str, data: bytes, stamps: set[int]) -> None:
    """What is missing is said, and nothing is made up but the pixels and numbers that have no checksum."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(good, work)
    (work / name).write_bytes(data)
    source = open_source(work)
    read = 0
    for frame in source:
        try:
            frame.decode()
            read += 1
        except ImageError:
            continue
        if frame.pose is not None and not np.isfinite(frame.pose.position).all():
            raise Bad("silent: a frame at no finite position")
    if read < len(stamps) and not source.skipped and not source.remark and len(source) == read:
        raise Bad(f"silent: {read} of {len(stamps)} images, and nothing is said")
