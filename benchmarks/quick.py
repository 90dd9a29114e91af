"""The measurements of `make bench`: a few minutes, each against a baseline of the same run.

Writes docs/benchmarks.md for readers and docs/benchmarks.json for programs. The long measurements (recall on
real drives, filters, loop closures, a million places) are the other programs beside this one.

example:
  python -m benchmarks.quick --output docs
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from benchmarks import node_overhead
from benchmarks._measure import all_seconds, parser, table
from benchmarks.build_map_scaling import write_drive
from netvlad_core.data.frames import Frame
from netvlad_core.data.geometry import Pose
from netvlad_core.data.images import decode_picture, encode_jpeg
from netvlad_core.data.sources import open_source
from netvlad_core.errors import NetvladError
from netvlad_core.localization.localizer import Localizer
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.model.backbones import PACKAGED_NETWORK
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.streaming import describe_frames
from netvlad_core.search import open_index

_PACKAGES = ("numpy", "opencv-python-headless", "openvino", "onnxruntime", "torch", "faiss-cpu", "rclpy")
_PLACES, _DIMENSION = 1000, 512
_FIRST_DESCRIPTOR = (
    "import sys, numpy as np; from netvlad_core import Extractor; "
    "Extractor.load(engine=sys.argv[1])(np.zeros((480, 640, 3), np.uint8))"
)


@dataclass(frozen=True)
class Row:
    """One line of a table, in milliseconds.

    Attributes
    ----------
    median, low, high : of the rounds: half of them lie between the latter two; None if there was one round.
    ratio : how many times as fast as the baseline.
    """

    name: str
    median: float
    low: float | None
    high: float | None
    ratio: float


@dataclass(frozen=True)
class Table:
    """What one measurement says, its baseline first."""

    title: str
    explanation: str
    rows: list[Row]

    def markdown(self) -> str:
        lines = []
        for row in self.rows:
            spread = "" if row.low is None else f"{row.low:.2f} to {row.high:.2f}"
            lines.append([row.name, f"{row.median:.2f}", spread, f"{row.ratio:.2f}"])
        header = ["", "median ms", "middle half", "times as fast"]
        return f"## {self.title}\n\n{self.explanation}\n\n{table(header, lines)}\n"


def compared(calls: Mapping[str, Callable[[], object]], rounds: int, per_call: int = 1) -> list[Row]:
    """Rows of calls that take turns; the first is the baseline, and each does the work `per_call` times."""
    rows: list[Row] = []
    for name, seconds in all_seconds(calls, rounds).items():
        low, middle, high = 1e3 * np.quantile(seconds, (0.25, 0.5, 0.75)) / per_call
        rows.append(Row(name, middle, low, high, rows[0].median / middle if rows else 1.0))
    return rows


def engines() -> Table:
    calls = {}
    image = cv2.resize(_noise(1)[0], (640, 480))
    for engine, precision in (
        ("torch", "float32"),
        ("onnxruntime", "float32"),
        ("openvino", "float32"),
        ("auto", "auto"),
    ):
        try:
            extractor = Extractor.load(PACKAGED_NETWORK, "cpu", precision=precision, engine=engine)
        except (NetvladError, ModuleNotFoundError):  # an engine that is not installed
            continue
        name = f"default: {extractor.runs_on}" if engine == "auto" else f"{engine}, {precision}"
        calls[name] = partial(extractor, image)
    return Table(
        "An image becomes a descriptor",
        "640x480 pixels, uint8, through the package's network, by each engine that is installed.",
        compared(calls, 100),
    )


def steps(place_map: Path, pictures: list[np.ndarray]) -> Table:
    localizer = Localizer.open(place_map)
    encoded = encode_jpeg(pictures[0])
    observed = [
        localizer.observe(picture, 10**18 + second * 10**9, Pose.from_xyz_yaw(float(second), 0.0))
        for second, picture in enumerate(pictures[:400])
    ]
    drive = deque(observed)

    def follow() -> None:
        localizer.track(drive[0])
        drive.rotate(-1)

    calls: dict[str, Callable[[], object]] = {
        "network": partial(localizer.extractor, pictures[0]),
        "JPEG decoded": partial(decode_picture, encoded),
        "single image localized": partial(localizer.locate, observed[0]),
        "drive followed by the filter": follow,
    }
    return Table(
        "The other steps of an image",
        f"A map of {len(localizer.place_map)} places in {_DIMENSION} numbers each, 640x480 pixels.",
        compared(calls, 200),
    )


def search() -> Table:
    random = np.random.default_rng(0)
    calls: dict[str, Callable[[], object]] = {}
    for count in (10_000, 100_000):
        places = random.standard_normal((count, _DIMENSION), np.float32)
        query = random.standard_normal((1, _DIMENSION), np.float32)
        index = open_index(places.astype(np.float16), device="cpu")
        calls[f"{count} places, every product by NumPy"] = partial(_by_numpy, places, query)
        calls[f"{count} places"] = partial(index.search, query, 1000)
    rows = compared(calls, 20)
    # Of the larger map, too, the first row is the baseline.
    rows[2:] = [replace(row, ratio=rows[2].median / row.median) for row in rows[2:]]
    return Table("The best 1000 places", f"Descriptors of {_DIMENSION} numbers, one query.", rows)


def maps(bag: Path, place_map: Path, folder: Path, pictures: list[np.ndarray]) -> Table:
    extractor = Extractor.load(PACKAGED_NETWORK, "cpu")
    frames = [Frame(str(i), i, None, partial(np.copy, picture)) for i, picture in enumerate(pictures)]
    encoded = [encode_jpeg(picture) for picture in pictures]
    files = [Frame(str(i), i, None, partial(decode_picture, data)) for i, data in enumerate(encoded)]

    def build() -> None:
        options = BuildOptions(weights=PACKAGED_NETWORK, device="cpu")
        build_map(open_source(bag), folder / "again", options, progress=False)

    calls: dict[str, Callable[[], object]] = {
        "network alone": lambda: deque(describe_frames(frames, extractor), maxlen=0),
        "JPEG decoded, network": lambda: deque(describe_frames(files, extractor), maxlen=0),
        "build-map": build,
    }
    rows = compared(calls, 3, per_call=len(pictures))
    opened = compared({"open": partial(PlaceMap.open, place_map)}, 20)[0]
    return Table(
        "A bag becomes a map",
        f"Time of each of {len(pictures)} images of 640x480 pixels with a pose, JPEG, with all cores. "
        f"Opening the finished map takes {opened.median:.1f} ms.",
        rows,
    )


def start() -> Table:
    calls = {}
    for engine in ("torch", "auto"):
        command = [sys.executable, "-c", _FIRST_DESCRIPTOR, engine]
        calls["torch" if engine == "torch" else "default engine"] = partial(
            subprocess.run, command, check=True, capture_output=True
        )
    return Table(
        "A program begins",
        "From the start of Python to the first descriptor, files already in the system's memory.",
        compared(calls, 5),
    )


def node(images: int) -> Table:
    seen = node_overhead.measure(images, rate=30.0)
    network = seen.stages["network"]
    rows = [Row(name, value, None, None, network / value) for name, value in seen.milliseconds.items()]
    return Table(
        "The node",
        f"{images} raw images of 640x480 pixels at 30 Hz over DDS to `localize_node`, with odometry. It "
        f"listened {seen.start_up:.1f} s after its start and gave the first answer after "
        f"{seen.first_answer:.1f} s; {seen.answered} images were answered. Memory: {seen.memory[0]:.0f} MB "
        f"at the beginning, {seen.memory[-1]:.0f} MB at the end.",
        rows,
    )


def machine() -> dict[str, str]:
    """What the figures depend on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    facts = {
        "processor": f"{model}, {len(os.sched_getaffinity(0))} cores for this process",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "load average before": f"{os.getloadavg()[0]:.1f}",
    }
    for package in _PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    return facts


def _noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 30, 40, 3), np.uint8)


def _by_numpy(places: np.ndarray, query: np.ndarray) -> np.ndarray:
    products = places @ query[0]
    best = np.argpartition(-products, 1000)[:1000]
    return best[np.argsort(-products[best])]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--output", type=Path, default=Path("docs"), help="folder (default: %(default)s)")
    arguments.add_argument("--images", type=int, default=900, help="for the node (default: %(default)s)")
    options = arguments.parse_args()
    facts = machine()
    tables = []
    with TemporaryDirectory() as text:
        folder = Path(text)
        pictures = [cv2.resize(x, (640, 480), interpolation=cv2.INTER_CUBIC) for x in _noise(_PLACES)]
        write_drive(folder / "drive", pictures, _PLACES)
        network = BuildOptions(weights=PACKAGED_NETWORK, device="cpu")
        place_map = build_map(open_source(folder / "drive"), folder / "map", network, progress=False).path
        write_drive(folder / "short", pictures, 512)
        for measure in (
            engines,
            partial(steps, place_map, pictures),
            search,
            partial(maps, folder / "short", place_map, folder, pictures[:512]),
            start,
            partial(node, options.images),
        ):
            tables.append(measure())
            print(tables[-1].markdown(), flush=True)
    head = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    page = "\n".join(
        [
            "# Benchmarks",
            "",
            "Written by `make bench`; `benchmarks.json` beside it has the same figures. The calls of a table",
            "take turns, so that other work on the machine leaves their ratios alone.",
            "[results.md](results.md) has recall, poses and the long measurements.",
            "",
            head,
            "",
            *(entry.markdown() for entry in tables),
        ]
    )
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "benchmarks.md").write_text(page)
    values = {"machine": facts, "tables": [asdict(entry) for entry in tables]}
    (options.output / "benchmarks.json").write_text(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()
