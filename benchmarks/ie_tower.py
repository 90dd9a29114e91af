"""Frames of walks through a building, by floors: JSebastianIEU/ie-tower-visual-place-recognition (MIT)."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

VALIDATION_FLOORS = ("basement2", "floor7", "floor11", "floor15", "floor19")
TEST_FLOORS = ("basement3", "floor5", "floor9", "floor13", "floor17", "floor21")
# A walker's way from one frame to the next, taken as this many metres; videos lie far apart.
STEP = 4.0
APART = 10_000.0


@dataclass(frozen=True)
class Walk:
    """One frame of a video: its image, floor, position in metres and whether the set calls it a query."""

    image: Path
    floor: str
    x: float
    y: float
    is_query: bool


def read_building(folder: Path) -> list[Walk]:
    """All frames; those of one video lie on a line."""
    videos: dict[str, int] = {}
    frames = []
    with (folder / "dataset.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            match = re.fullmatch(r"(.*)_frame_(\d+)\.jpg", row["image_path"])
            if match is None:
                raise ValueError(f"{folder}: {row['image_path']} has no frame number")
            y = -APART * (1 + videos.setdefault(match[1], len(videos)))
            path, x = folder / row["image_path"], STEP * int(match[2])
            frames.append(Walk(path, row["label"], x, y, row["split"] == "query"))
    return frames
