"""Make the training data of the default model and write the configuration for `netvlad train`.

    python -m tools.default_model --building ie-tower/ --output runs/default
    netvlad train --config runs/default/train.toml --output runs/default/run
    python -m tools.default_model.pack runs/default/run/best.safetensors

Real images of walks through a building and images of towns that are rendered here. Whole floors and whole
towns are left for validation, other floors for testing.
"""

from __future__ import annotations

import argparse
import csv
import os
from multiprocessing import get_context
from pathlib import Path

from benchmarks.ie_tower import TEST_FLOORS, VALIDATION_FLOORS, Walk, read_building
from tools.default_model.town import draw_lights, render_town

TOWNS = tuple(range(101, 109))
VALIDATION_TOWNS = (201, 202)
LIGHTS = 4  # of each town
# Every n-th image is a query; each may be a positive.
WALK_STEP, TOWN_STEP = 1, 8

_TOML = """\
# The default model: images of one building and of rendered towns, strong changes of light and viewpoint.
database = ["database.csv"]
queries = ["queries.csv"]
validation_database = ["validation_database.csv"]
validation_queries = ["validation_queries.csv"]
positive_radius = 9.0      # two frames of a walk, two stops in a town
min_distance = 0.0         # the same stop in another light, too
heading_limit = 30.0
negative_radius = 30.0
time_exclusion = 0.0
correct_radius = 12.0
backbone_weights = "imagenet"
loss = "multi-similarity"
places_per_batch = 16
images_per_place = 3
trainable = 8
optimizer = "adamw"
learning_rate = 3e-4
weight_decay = 1e-4
epochs = 5
halving_epochs = 2
photometric = 1.0
perspective = 0.08
checkpoint_steps = 50
"""
_HEADER = ["image", "x", "y", "yaw", "stamp"]
Row = list


def render_all(output: Path, workers: int) -> None:
    """Render each town in a process of its own: the renderer keeps what it has allocated."""
    work = [(output, seed, draw_lights(seed, LIGHTS)) for seed in TOWNS + VALIDATION_TOWNS]
    with get_context("spawn").Pool(workers, maxtasksperchild=1) as pool:
        pool.starmap(render_town, work, chunksize=1)


def walk_rows(frames: list[Walk], folder: Path) -> list[Row]:
    return [
        [os.path.relpath(frame.image, folder), frame.x, frame.y, 0.0, index]
        for index, frame in enumerate(frames)
    ]


def town_rows(output: Path, seed: int) -> list[Row]:
    with (output / f"town_{seed}.csv").open(newline="") as file:
        return [[row[key] for key in _HEADER] for row in csv.DictReader(file)]


def write(path: Path, rows: list[Row]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([_HEADER, *rows])


def light_of(row: Row) -> str:
    return row[0].split("/")[-1].split("_")[0]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--building", type=Path, required=True, help="folder of ie-tower, with dataset.csv")
    parser.add_argument("--output", type=Path, required=True, help="folder for images and configuration")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="that render (default: all cores)"
    )
    options = parser.parse_args()
    output = options.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    frames = read_building(options.building.resolve())
    learned = walk_rows([f for f in frames if f.floor not in VALIDATION_FLOORS + TEST_FLOORS], output)
    render_all(output, options.workers)
    towns = [row for seed in TOWNS for row in town_rows(output, seed)]
    write(output / "database.csv", learned + towns)
    write(output / "queries.csv", learned[::WALK_STEP] + towns[::TOWN_STEP])
    held_out = [f for f in frames if f.floor in VALIDATION_FLOORS]
    database = walk_rows([f for f in held_out if not f.is_query][::2], output)
    queries = walk_rows([f for f in held_out if f.is_query], output)
    for seed in VALIDATION_TOWNS:
        lights = draw_lights(seed, LIGHTS)
        rows = town_rows(output, seed)
        database += [row for row in rows if light_of(row) == lights[0]]
        queries += [row for row in rows if light_of(row) == lights[-1]][::2]
    write(output / "validation_database.csv", database)
    write(output / "validation_queries.csv", queries)
    (output / "train.toml").write_text(_TOML)
    print(f"netvlad train --config {options.output / 'train.toml'} --output {options.output / 'run'}")


if __name__ == "__main__":
    main()
