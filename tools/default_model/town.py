"""Images of rendered towns: each street in several lights and seasons, from several vehicles, both ways."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from netvlad_core.progress import bar
from town.drives import CAMERA_ROTATION
from town.lighting import LIGHTS
from town.renderer import Renderer
from town.town import make_town

SIZE = (320, 240)
STEP = 4.0  # metres between images
APART = 10_000.0  # metres between towns, and between the two ways along a street


@dataclass(frozen=True)
class Vehicle:
    """Where a camera looks from; lengths in metres, angles in radians."""

    lane: float  # left of the centre line
    height: float
    pitch: float  # down
    hfov_deg: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> Vehicle:
        return cls(
            lane=rng.uniform(-2.5, 1.0),
            height=rng.uniform(0.5, 2.0),
            pitch=np.radians(rng.uniform(-4.0, 4.0)),
            hfov_deg=rng.uniform(62.0, 95.0),
        )


def render_town(folder: Path, seed: int, lights: list[str]) -> None:
    """One drive along the route and one back for each light, with a catalogue; made once.

    Images of one place in different lights lie within a few metres of each other, those of other towns and
    of the other way far apart.
    """
    catalogue = folder / f"town_{seed}.csv"
    if catalogue.exists():
        return
    (folder / f"town_{seed}").mkdir(parents=True, exist_ok=True)
    rows: list[list] = [["image", "x", "y", "yaw", "stamp"]]
    for number, light in enumerate(lights):
        rng = np.random.default_rng([seed, number])
        town, vehicle = make_town(seed, parking_seed=number), Vehicle.random(rng)
        renderer = Renderer(town, light, *SIZE, hfov_deg=vehicle.hfov_deg)
        stops = np.arange(rng.uniform(0, STEP), town.route.length, STEP)
        for index, along in enumerate(bar(stops, f"town {seed}, {light}", unit="stop")):
            for back in (False, True):
                lane = -vehicle.lane if back else vehicle.lane
                x, y, yaw = town.route.pose(along, lane + rng.normal(0, 0.2))
                yaw = yaw + np.pi * back
                turn = yaw + np.radians(rng.normal(0, 3.0))
                base = Rotation.from_euler("ZY", (turn, vehicle.pitch + np.radians(rng.normal(0, 0.6))))
                eye = np.array((x, y, vehicle.height + rng.normal(0, 0.02)))
                image = renderer.render(eye, (base * CAMERA_ROTATION).as_quat())
                name = f"town_{seed}/{light}_{'back' if back else 'there'}_{index:04d}.jpg"
                if not cv2.imwrite(str(folder / name), image[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 92)):
                    raise OSError(f"cannot write {folder / name}; is the disk full?")
                stamp = 1000 * number + index
                rows.append([name, x + APART * seed, y + APART * back, float(yaw), stamp])
        renderer.close()
    unfinished = catalogue.with_suffix(".partial")
    with unfinished.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    unfinished.replace(catalogue)


def draw_lights(seed: int, count: int) -> list[str]:
    """Noon and others at random, in a fixed order for each seed."""
    others = [name for name in LIGHTS if name != "noon"]
    return ["noon", *np.random.default_rng(seed).permutation(others)[: count - 1].tolist()]
