"""The same training in one process and in two under torchrun: how far the losses differ, and the speed-up.

Each process has one thread. Images are of 240x320 pixels from a made-up street, the network is the default.

example:
  python -m benchmarks.training_processes --places 40
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from benchmarks._measure import parser, print_conditions, print_table

_ROOT = Path(__file__).resolve().parents[1]
_CONFIG = """
database = ["day/catalogue.csv"]
queries = ["dusk/catalogue.csv"]
epochs = 1
clusters = 16
negatives = 4
margin = 1.0
device = "cpu"
"""


def write_drive(folder: Path, places: int, shift: float, gain: float) -> None:
    """Views of a wall of random texture, 10 m apart, with a catalogue."""
    random = np.random.default_rng(0)
    wall = np.zeros((240, 320 + 40 * places, 3), np.float32)
    for size in (4, 16, 64):
        grain = random.random((-(-wall.shape[0] // size), -(-wall.shape[1] // size), 3), np.float32)
        wall += cv2.resize(grain, wall.shape[1::-1], interpolation=cv2.INTER_CUBIC) / 3
    folder.mkdir()
    lines = ["image,x,y"]
    for place in range(places):
        start = round(40 * (place + shift / 10))
        picture = (255 * gain * wall[:, start : start + 320]).clip(0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{place}.png"), picture)
        lines.append(f"{place}.png,{10 * place + shift},0")
    (folder / "catalogue.csv").write_text("\n".join(lines) + "\n")


def train(folder: Path, processes: int) -> tuple[float, list[float]]:
    """Seconds from the initial network to the trained one, and the loss of each step."""
    output = folder / f"run{processes}"
    command = [sys.executable, "-m"]
    if processes > 1:
        command += ["torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", "-m"]
    command += ["netvlad_core", "train", "--quiet", "--output", str(output)]
    command += ["--config", str(folder / "config.toml")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, cwd=_ROOT, env=environment, stdout=subprocess.DEVNULL)
    began, ended = ((output / f"{name}.safetensors").stat().st_mtime for name in ("initial", "last"))
    with (output / "metrics.csv").open() as file:
        return ended - began, [float(row["loss"]) for row in csv.DictReader(file)]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument(
        "--places", type=int, default=60, help="images of each drive (default: %(default)s)"
    )
    options = arguments.parse_args()
    print_conditions()
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_drive(folder / "day", options.places, 0, 1.0)
        write_drive(folder / "dusk", options.places, 3, 0.5)
        (folder / "config.toml").write_text(_CONFIG)
        (seconds, losses), (seconds_of_two, losses_of_two) = (train(folder, count) for count in (1, 2))
    print_table(
        ["step", "loss of one process", "of two"],
        [[step + 1, f"{a:.7f}", f"{b:.7f}"] for step, (a, b) in enumerate(zip(losses, losses_of_two))],
    )
    difference = max(abs(a - b) for a, b in zip(losses, losses_of_two, strict=True))
    print(f"\nlargest difference {difference:.1e}")
    print(f"{seconds:.1f} s and {seconds_of_two:.1f} s: {seconds / seconds_of_two:.2f} times as fast")


if __name__ == "__main__":
    main()
