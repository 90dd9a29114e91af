"""A fresh environment without torch and one with it: size, and how soon programs and the node are at work.

Makes two virtual environments by pip, the second with the extra `torch` (on Linux that is the build with CUDA
unless pip's index says otherwise). Size is what pip adds to an empty environment; the wheels of ROS come
after it. Each time is the median of five starts, files in the system's memory. Environments that are in the
folder already are taken as they are.

example:
  python -m benchmarks.fresh_environment --folder /tmp/environments
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic, sleep

import cv2
import numpy as np

from benchmarks._measure import parser, print_table
from benchmarks.build_map_scaling import write_drive
from benchmarks.node_overhead import Camera, camera_at_work, localizer, wait_for_answer
from benchmarks.real_sets import ROOT

_STARTS = 5
_IMAGES = 64
_FIRST_DESCRIPTOR = (
    "import numpy as np; from netvlad_core import Extractor; "
    "Extractor.load()(np.zeros((480, 640, 3), np.uint8))"
)


def make_environment(folder: Path, extra: str) -> float:
    """Install the project and, after it, what runs a node; returns the megabytes of the project."""
    size = folder / "megabytes"
    if not size.is_file():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        empty = megabytes(folder)
        with TemporaryDirectory() as text:  # pip builds in the folder of the project
            for file in ("setup.py", "pyproject.toml"):
                shutil.copy(ROOT / file, text)
            shutil.copytree(ROOT / "netvlad_core", Path(text) / "netvlad_core")
            pip_install(folder, text + extra)
        size.write_text(f"{megabytes(folder) - empty:.0f}")
        # The first paragraph is what runs, the second what builds messages.
        runtime = (ROOT / "requirements" / "ros.txt").read_text().partition("\n\n")[0].splitlines()
        pip_install(folder, *(line for line in runtime if not line.startswith("#")))
    return float(size.read_text())


def pip_install(environment: Path, *packages: str) -> None:
    """Install packages in the versions of locked.txt, without its hashes: torch has none."""
    locked = (ROOT / "requirements" / "locked.txt").read_text()
    versions = environment / "versions.txt"
    versions.write_text("".join(f"{line}\n" for line in re.findall(r"^\w[^\\\n]*", locked, re.MULTILINE)))
    python = environment / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "-c", versions, *packages], check=True)


def megabytes(folder: Path) -> float:
    """Space that the files of a folder take on the disk."""
    return sum(path.lstat().st_blocks for path in folder.rglob("*")) * 512 / 1e6


def seconds(*command: str | Path) -> float:
    started = monotonic()
    subprocess.run(command, check=True, cwd=ROOT)
    return monotonic() - started


def start_of_node(camera: Camera, place_map: Path, python: Path, picture: np.ndarray) -> tuple[float, float]:
    """Seconds from the start of the process until it listens, and until it answers."""
    while camera.images.get_subscription_count():  # the one before
        sleep(0.1)
    started = monotonic()
    with localizer(place_map, python):
        return wait_for_answer(camera, picture, started)


def measure(python: Path, drive: Path, camera: Camera, picture: np.ndarray, folder: Path) -> list[str]:
    """Seconds: to the first descriptor, for a map, until the node listens, and until it answers."""
    maps = [folder / f"{python.parents[1].name}_{number}" for number in range(_STARTS)]
    build = (python, "-m", "netvlad_core", "build-map", drive, "--weights", "packaged", "--quiet", "--output")
    rounds = [
        (
            seconds(python, "-c", _FIRST_DESCRIPTOR),
            seconds(*build, place_map),
            *start_of_node(camera, place_map, python, picture),
        )
        for place_map in maps
    ]
    return [f"{median(column):.1f}" for column in zip(*rounds)]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--folder", type=Path, required=True, help="where the environments are made")
    options = arguments.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(0).integers(0, 256, (_IMAGES, 30, 40, 3), np.uint8)
    pictures = [cv2.resize(picture, (640, 480), interpolation=cv2.INTER_CUBIC) for picture in coarse]
    rows = []
    with TemporaryDirectory() as text, camera_at_work() as camera:
        drive = Path(text) / "drive"
        write_drive(drive, pictures, _IMAGES)
        for name, extra in (("without torch", ""), ("with torch", "[torch]")):
            environment = (options.folder / name.replace(" ", "_")).absolute()
            size = make_environment(environment, extra)
            python = environment / "bin" / "python"
            rows.append([name, f"{size:.0f}", *measure(python, drive, camera, pictures[0], Path(text))])
    header = ["environment", "MB", "first descriptor, s", f"map of {_IMAGES} images, s"]
    print_table([*header, "node listens, s", "node answers, s"], rows)


if __name__ == "__main__":
    main()
