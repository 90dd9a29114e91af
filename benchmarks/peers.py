"""The original projects' own code beside ours: the same random weights, the same images.

The projects lie in folders of yours and stay there; one without a folder is left out. Random weights are
written in each project's own format, `netvlad import-weights` reads them, and both describe the same images,
each with its own preprocessing and in a process of its own. The first table has the largest difference of an
entry: ours by torch at three sizes, and by the default engine, which may compute in bfloat16. The second has
times and memory for an image of 640x480 pixels, uint8 to descriptor; the networks take turns. The first
number of the memory is the peak of the whole process, the second that of describing alone. What a project
imports without using it to describe an image need not be installed; AnyLoc's needs einops and
fast_pytorch_kmeans. With --rounds 0 nothing is timed, and the default engine does not run.

example:
  git clone https://github.com/cvg/Hierarchical-Localization hloc
  git clone https://github.com/Nanne/pytorch-NetVlad nanne
  git clone https://github.com/QVPR/Patch-NetVLAD patch
  git clone https://github.com/gmberton/deep-visual-geo-localization-benchmark vprbench
  python -m benchmarks.peers --hloc hloc --nanne nanne --patch patch --vprbench vprbench
  git clone https://github.com/gmberton/CosPlace cosplace
  git clone https://github.com/gmberton/MegaLoc megaloc
  git clone https://github.com/serizba/salad
  git clone https://github.com/facebookresearch/dinov2
  python -m benchmarks.peers --cosplace cosplace --megaloc megaloc --salad salad --dinov2 dinov2 --rounds 0
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
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
_TIMED, _SMALL, _LARGE = (480, 640), (240, 320), (720, 1280)
_ODD = (373, 501)  # for transformers, which take long for large images
_OURS = ({"engine": "torch", "precision": "float32"}, {"engine": "auto", "precision": "auto"})


@dataclass(frozen=True)
class Case:
    """One network of a project: option of the folder, names for the table, options of the project's code.

    The `largest` image has this height and width.
    """

    project: str
    name: str
    network: str
    options: Mapping[str, Any] = field(default_factory=dict)
    largest: tuple[int, int] = _LARGE


CASES = (
    Case("hloc", "hloc", "VGG16, whitening"),
    Case("nanne", "Nanne/pytorch-NetVlad", "VGG16", {"bias": False}),
    Case("nanne", "Nanne/pytorch-NetVlad", "VGG16, with bias", {"bias": True}),
    Case("patch", "Patch-NetVLAD", "VGG16", {"numbers": "0"}),
    Case("patch", "Patch-NetVLAD", "VGG16, WPCA", {"numbers": "512"}),
    Case("vprbench", "deep-VG benchmark", "VGG16", {"backbone": "vgg16"}),
    Case("vprbench", "deep-VG benchmark", "ResNet18", {"backbone": "resnet18conv4"}),
    *(
        Case(name.lower(), name, f"{backbone}", {"backbone": backbone, "dimension": dimension}, _ODD)
        for name, networks in {
            "CosPlace": (
                *(
                    ("VGG16", 64),
                    ("ResNet18", 32),
                    ("ResNet50", 2048),
                    ("ResNet101", 128),
                    ("ResNet152", 512),
                ),
            ),
            "EigenPlaces": (("VGG16", 512), ("ResNet18", 256), ("ResNet50", 2048), ("ResNet101", 128)),
        }.items()
        for backbone, dimension in networks
    ),
    Case("mixvpr", "MixVPR", "ResNet50", {"width": 1024, "rows": 4}, _ODD),
    Case("mixvpr", "MixVPR", "ResNet50", {"width": 64, "rows": 2}, _ODD),
    Case("salad", "SALAD", "DINOv2 ViT-B/14", {}, _ODD),
    Case("cliquemining", "CliqueMining", "DINOv2 ViT-B/14", {}, _ODD),
    Case("megaloc", "MegaLoc", "DINOv2 ViT-B/14", {}, _ODD),
    Case("boq", "BoQ", "ResNet50", {"backbone": "resnet50"}, _ODD),
    Case("boq", "BoQ", "DINOv2 ViT-B/14", {"backbone": "dinov2"}, _ODD),
    Case("anyloc", "AnyLoc", "values of DINOv2 ViT-S/14", {"size": "dinov2_vits14", "layer": 10}, _ODD),
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
        "PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))),
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


def pictures(largest: tuple[int, int]) -> list[np.ndarray]:
    """Random images (H, W, 3) uint8 with patterns of all sizes: a timed, a small and a large one."""
    rng = np.random.default_rng(0)
    return [_picture(rng, *size) for size in (_TIMED, _SMALL, largest)]


def _picture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    picture = np.full((height, width, 3), 128, np.float32)
    for cells in (4, 16, 64, 256):
        coarse = rng.normal(scale=25, size=(cells, cells, 3)).astype(np.float32)
        picture += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return picture.clip(0, 255).astype(np.uint8)


def compare(case: Case, folder: Path, device: str, rounds: int, work: Path) -> list[Run]:
    """Their network, ours by torch and, in timed rounds, ours by the default engine; raises PeerError."""
    with running(Task(case.project, folder, case.options, device, writes=True), work) as writer:
        weights = writer.weights
    beside = next(weights.parent.glob("*_pretrain.pth"), None)
    network, _ = import_weights(weights, beside)
    checkpoint = work / "ours.safetensors"
    save_checkpoint(network, checkpoint)
    if rounds:
        export(network, variant_path(checkpoint, "float32"))
    tasks = [Task(case.project, folder, case.options, device)]
    tasks += [Task("ours", checkpoint, options, device) for options in _OURS[: 2 if rounds else 1]]
    with ExitStack() as stack:
        runners = [stack.enter_context(running(task, work)) for task in tasks]
        if runners[0].absent:
            print(f"{case.name}: runs without {', '.join(runners[0].absent)}, not used here", flush=True)
        images = pictures(case.largest)
        described = [[runner.describe(image)[0] for image in images[:-1]] for runner in runners]
        times = [[runner.describe(images[0])[1] for runner in runners] for _ in range(rounds)]
        peaks = [runner.peak_megabytes() for runner in runners]
        for descriptors, runner in zip(described, runners):
            descriptors.append(runner.describe(images[-1])[0])
    return [Run(*run) for run in zip(described, list(zip(*times)) or [()] * len(tasks), peaks)]


def agreement_row(case: Case, runs: Sequence[Run]) -> list[str]:
    theirs, *ours = runs
    images = range(len(theirs.descriptors))
    differences = [f"{ours[0].difference(theirs, image):.1e}" for image in images]
    rounded = [f"{max(run.difference(theirs, image) for image in images):.1e}" for run in ours[1:]]
    return [case.name, case.network, str(len(theirs.descriptors[0])), *differences, *rounded]


def cost_row(case: Case, runs: Sequence[Run]) -> list[str]:
    theirs, *ours = runs
    cells = [f"{1e3 * median(theirs.seconds):.0f}"]
    for run in ours:
        cells += [f"{1e3 * median(run.seconds):.0f}", f"{run.times_as_fast(theirs):.1f}"]
    memory = (" / ".join(f"{peak:.0f}" for peak in run.megabytes) for run in runs)
    return [case.name, case.network, *cells, *memory]


def told(runs: Sequence[Run]) -> str:
    """One line for a case that is done: its times, or without timed rounds its largest difference."""
    theirs, by_torch, *by_default = runs
    if not by_default:
        images = range(len(theirs.descriptors))
        return f"largest difference {max(by_torch.difference(theirs, image) for image in images):.1e}"
    times = [f"{1e3 * median(run.seconds):.1f}" for run in runs]
    return f"{times[0]} ms, ours by torch {times[1]}, by the default engine {times[2]}"


def agree(runs: Sequence[Run]) -> bool:
    theirs, by_torch, *_ = runs
    return all(by_torch.difference(theirs, image) <= _WANTED for image in range(len(theirs.descriptors)))


def main() -> None:
    arguments = parser(__doc__)
    for project in dict.fromkeys(case.project for case in CASES):
        name = next(case.name for case in CASES if case.project == project)
        arguments.add_argument(
            f"--{project}",
            type=Path,
            metavar="DIR",
            help=f"the code of {name}{', its folder demo' * (project == 'anyloc')}",
        )
    arguments.add_argument("--device", default="cpu", help="of torch (default: %(default)s)")
    text = "DINOv2's own code, which others download"
    arguments.add_argument("--dinov2", type=Path, metavar="DIR", help=text)
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
                dinov2 = options.dinov2 and options.dinov2.resolve()
                ready = replace(case, options={**case.options, "dinov2": dinov2})
                runs = compare(ready, folder.resolve(), options.device, options.rounds, Path(work))
            except PeerError as error:
                print(f"{case.name}, {case.network}: left out, {error}", flush=True)
                continue
        measured.append((case, runs))
        print(f"{case.name}, {case.network}: {told(runs)}", flush=True)
    if not measured:
        return
    sizes = [f"{width}x{height}" for height, width in (_TIMED, _SMALL)]
    print()
    header = ["project", "network", "numbers", *sizes, "1280x720 or 501x373"]
    header += ["default engine"] if options.rounds else []
    print_table(header, [agreement_row(*each) for each in measured])
    if not all(agree(runs) for _, runs in measured):
        raise SystemExit(f"a difference is larger than {_WANTED:g}: the descriptors do not agree")
    if not options.rounds:
        return
    print()
    header = ["project", "network", "ms", "torch ms", "times as fast", "default ms", "times as fast"]
    header += ["MB, with loading / without", "torch MB", "default MB"]
    print_table(header, [cost_row(*each) for each in measured])


if __name__ == "__main__":
    main()
