"""The original projects' own code beside ours: the same random weights, the same images.

The projects lie in folders of yours and stay there; one without a folder is left out. Random weights are
written in each project's own format, `netvlad import-weights` reads them, and both describe the same images,
each with its own preprocessing and in a process of its own. The first table has the largest difference of an
entry: ours by torch at two sizes, and by the default engine, which may compute in bfloat16. The second has
times and memory for an image of 640x480 pixels, uint8 to descriptor; the networks take turns. The first
number of the memory is the peak of the whole process, the second that of describing alone. What a project
imports without using it to describe an image need not be installed.

example:
  git clone https://github.com/cvg/Hierarchical-Localization hloc
  git clone https://github.com/Nanne/pytorch-NetVlad nanne
  git clone https://github.com/QVPR/Patch-NetVLAD patch
  git clone https://github.com/gmberton/deep-visual-geo-localization-benchmark vprbench
  python -m benchmarks.peers --hloc hloc --nanne nanne --patch patch --vprbench vprbench
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

from benchmarks._measure import parser, print_conditions, print_table
from benchmarks._peer import Task
from netvlad_core.model.checkpoints import save_checkpoint
from netvlad_core.model.export import export
from netvlad_core.model.importers import import_weights
from netvlad_core.model.open_engine import variant_path

_ROOT = Path(__file__).resolve().parents[1]
_WANTED = 1e-5  # largest difference of an entry
_TIMED, _LARGE = (480, 640), (720, 1280)
_OURS = ({"engine": "torch", "precision": "float32"}, {"engine": "auto", "precision": "auto"})


@dataclass(frozen=True)
class Case:
    """One network of a project: option of the folder, names for the table, options of the project's code."""

    project: str
    name: str
    network: str
    options: Mapping[str, Any] = field(default_factory=dict)


CASES = (
    Case("hloc", "hloc", "VGG16, whitening"),
    Case("nanne", "Nanne/pytorch-NetVlad", "VGG16", {"bias": False}),
    Case("nanne", "Nanne/pytorch-NetVlad", "VGG16, with bias", {"bias": True}),
    Case("patch", "Patch-NetVLAD", "VGG16", {"numbers": "0"}),
    Case("patch", "Patch-NetVLAD", "VGG16, WPCA", {"numbers": "512"}),
    Case("vprbench", "deep-VG benchmark", "VGG16", {"backbone": "vgg16"}),
    Case("vprbench", "deep-VG benchmark", "ResNet18", {"backbone": "resnet18conv4"}),
)


class PeerError(Exception):
    """A project that cannot be run here, in a sentence."""


class Runner:
    """A process that describes images."""

    def __init__(self, connection: Connection, task: Task) -> None:
        self._connection = connection
        connection.send(task)
        answer = self._receive()
        if isinstance(answer, str):
            raise PeerError(answer)
        self.absent, self.weights = answer

    def describe(self, image: np.ndarray) -> tuple[np.ndarray, float]:
        """Descriptor and seconds."""
        self._connection.send(image)
        return self._receive()

    def peak_megabytes(self) -> tuple[float, float]:
        """Of the whole process, and since it began to describe images."""
        self._connection.send(None)
        return self._receive()

    def _receive(self) -> Any:
        try:
            return self._connection.recv()
        except EOFError:
            raise PeerError("its process failed, see above") from None


@contextmanager
def running(task: Task, work: Path) -> Iterator[Runner]:
    """Start a process in the folder `work`."""
    ours, theirs = Pipe()
    threads = str(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": threads,
        "TORCH_HOME": str(work),
        "PYTHONPATH": str(_ROOT),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks._peer", str(theirs.fileno())],
        pass_fds=[theirs.fileno()], cwd=work, env=environment,
    )  # fmt: skip
    theirs.close()
    try:
        yield Runner(ours, task)
    finally:
        ours.close()  # what waits for an image ends
        process.wait()


@dataclass(frozen=True)
class Run:
    """What one network gave.

    Attributes
    ----------
    descriptors : one for each image.
    seconds : of each round.
    megabytes : peak of the whole process, and while describing.
    """

    descriptors: Sequence[np.ndarray]
    seconds: Sequence[float]
    megabytes: tuple[float, float]

    def difference(self, other: Run, image: int) -> float:
        """Largest difference of an entry of the descriptors of an image."""
        return float(np.abs(self.descriptors[image] - other.descriptors[image]).max())

    def times_as_fast(self, other: Run) -> float:
        """Median over the rounds, so that other work on the machine, which slows both, does not count."""
        return median(theirs / mine for mine, theirs in zip(self.seconds, other.seconds, strict=True))


def pictures() -> list[np.ndarray]:
    """Random images (H, W, 3) uint8 with patterns of all sizes: two that are timed, and a larger one."""
    rng = np.random.default_rng(0)
    return [_picture(rng, *size) for size in (_TIMED, _TIMED, _LARGE)]


def _picture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    picture = np.full((height, width, 3), 128, np.float32)
    for cells in (4, 16, 64, 256):
        coarse = rng.normal(scale=25, size=(cells, cells, 3)).astype(np.float32)
        picture += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return picture.clip(0, 255).astype(np.uint8)


def compare(case: Case, folder: Path, device: str, rounds: int, work: Path) -> list[Run]:
    """Their network, ours by torch and ours by the default engine; raises PeerError."""
    with running(Task(case.project, folder, case.options, device, writes=True), work) as writer:
        weights = writer.weights
    network, _ = import_weights(weights)
    checkpoint = work / "ours.safetensors"
    save_checkpoint(network, checkpoint)
    export(network, variant_path(checkpoint, "float32"))
    tasks = [Task(case.project, folder, case.options, device)]
    tasks += [Task("ours", checkpoint, options, device) for options in _OURS]
    with ExitStack() as stack:
        runners = [stack.enter_context(running(task, work)) for task in tasks]
        if runners[0].absent:
            print(f"{case.name}: runs without {', '.join(runners[0].absent)}, not used here", flush=True)
        images = pictures()
        described = [[runner.describe(image)[0] for image in images[:-1]] for runner in runners]
        times = [[runner.describe(images[0])[1] for runner in runners] for _ in range(rounds)]
        peaks = [runner.peak_megabytes() for runner in runners]
        for descriptors, runner in zip(described, runners):
            descriptors.append(runner.describe(images[-1])[0])
    return [Run(*run) for run in zip(described, list(zip(*times)), peaks)]


def agreement_row(case: Case, runs: Sequence[Run]) -> list[str]:
    theirs, by_torch, by_default = runs
    differences = [by_torch.difference(theirs, image) for image in range(len(theirs.descriptors))]
    rounded = max(by_default.difference(theirs, image) for image in range(len(theirs.descriptors)))
    shown = [f"{max(differences[:-1]):.1e}", f"{differences[-1]:.1e}", f"{rounded:.1e}"]
    return [case.name, case.network, str(len(theirs.descriptors[0])), *shown]


def cost_row(case: Case, runs: Sequence[Run]) -> list[str]:
    theirs, *ours = runs
    cells = [f"{1e3 * median(theirs.seconds):.0f}"]
    for run in ours:
        cells += [f"{1e3 * median(run.seconds):.0f}", f"{run.times_as_fast(theirs):.1f}"]
    memory = (" / ".join(f"{peak:.0f}" for peak in run.megabytes) for run in runs)
    return [case.name, case.network, *cells, *memory]


def agree(runs: Sequence[Run]) -> bool:
    theirs, by_torch, _ = runs
    return all(by_torch.difference(theirs, image) <= _WANTED for image in range(len(theirs.descriptors)))


def main() -> None:
    arguments = parser(__doc__)
    for project in dict.fromkeys(case.project for case in CASES):
        name = next(case.name for case in CASES if case.project == project)
        arguments.add_argument(f"--{project}", type=Path, metavar="DIR", help=f"the code of {name}")
    arguments.add_argument("--device", default="cpu", help="of torch (default: %(default)s)")
    arguments.add_argument("--rounds", type=int, default=7, help="timed rounds (default: %(default)s)")
    options = arguments.parse_args()
    print_conditions()
    measured: list[tuple[Case, list[Run]]] = []
    for case in CASES:
        folder = getattr(options, case.project)
        if folder is None or not folder.is_dir():
            where = f"no folder {folder}" if folder else f"no --{case.project} DIR"
            print(f"{case.name}, {case.network}: left out, {where}", flush=True)
            continue
        with TemporaryDirectory() as work:
            try:
                runs = compare(case, folder.resolve(), options.device, options.rounds, Path(work))
            except PeerError as error:
                print(f"{case.name}, {case.network}: left out, {error}", flush=True)
                continue
        measured.append((case, runs))
        theirs, by_torch, by_default = (1e3 * median(run.seconds) for run in runs)
        print(
            f"{case.name}, {case.network}: {theirs:.1f} ms, ours by torch {by_torch:.1f},"
            f" by the default engine {by_default:.1f}", flush=True,
        )  # fmt: skip
    if not measured:
        return
    small, large = (f"{width}x{height}" for height, width in (_TIMED, _LARGE))
    print()
    header = ["project", "network", "numbers", small, large, "default engine"]
    print_table(header, [agreement_row(*each) for each in measured])
    print()
    header = ["project", "network", "ms", "torch ms", "times as fast", "default ms", "times as fast"]
    header += ["MB, with loading / without", "torch MB", "default MB"]
    print_table(header, [cost_row(*each) for each in measured])
    if not all(agree(runs) for _, runs in measured):
        raise SystemExit(f"a difference is larger than {_WANTED:g}: the descriptors do not agree")


if __name__ == "__main__":
    main()
