"""Every descriptor whose weights are at hand: its recall off the shelf, and whether the thresholds hold.

The first table has recall on the real sets without any training: the backbone has ImageNet weights, and the
clusters, if the aggregation has some, are fitted on the database of the set. Beside it stand the numbers of a
descriptor and the time of an image of 320x240 by torch, alone on the machine if it is told so.

The second one has maps as `netvlad build-map` makes them, with the same defaults for every descriptor: one
image by itself above the map's own threshold of similarity, the sequence filter, the threshold that `netvlad
calibrate` would propose for 99 % precision, and poses in drives through other places, where each is wrong.
The class token is that of a DINOv2 with random weights, and the foreign network, ImageNet features averaged,
comes from an ONNX file: poor descriptors, with which silence is right.

example:
  python -m benchmarks.descriptors --work .build/localization --town
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import real_sets
from benchmarks._measure import median_seconds, parser, print_conditions
from benchmarks.poolings import Places, Pooling, Shot, descriptors, real_places
from benchmarks.scenes import Part, Workshop, add_arguments, workshop
from benchmarks.sequence import Scene
from netvlad_core.data.bags.source import BagSource
from netvlad_core.data.frames import FrameSource
from netvlad_core.evaluation.calibration import propose
from netvlad_core.evaluation.precision_recall import PrecisionRecall, precision_recall
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.model.backbones import DEFAULT_BACKBONE, backbone_named
from netvlad_core.model.checkpoints import IMAGENET, load_checkpoint, load_pretrained, save_checkpoint
from netvlad_core.model.fitting import fit_network
from netvlad_core.model.foreign import wrap_network
from netvlad_core.model.gem import GeM
from netvlad_core.model.hard_vlad import HardVLAD
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.spec import NetworkSpec
from netvlad_core.model.torch_engine import preprocess

_RECALL_AT = (1, 5, 10)
_PRECISION = 0.99
_FIT_IMAGES = 60
_TIMED = 15
_TOKEN = "dinov2_vits14_token"
_WITHIN = {"town": 8.0}
_OFFICE = "tum_fr1_rpy"
_OFFICE_STEP, _OFFICE_DEGREES = 6, 8.0
_BACKBONES = {"ImageNet": IMAGENET, "trained": None}
_CLUSTERS = (32, 64)  # AnyLoc's and the paper's


def office(data: Path) -> Places:
    """A hand-held camera that turns: every sixth image against those between; right within 8 degrees."""
    frames = [frame for frame in BagSource.open(data / "bags" / f"{_OFFICE}_sqlite3") if frame.pose]
    axes = np.array([frame.pose.rotation.as_matrix()[:, 2] for frame in frames if frame.pose])
    mean = unit(axes.sum(axis=0)[None])[0]
    # Degrees from the mean direction, on a plane that touches the sphere there.
    across = np.linalg.svd(mean[None])[2][1:]
    beside = axes @ across.T
    angles = np.degrees(np.arccos(np.clip(axes @ mean, -1, 1)))
    plane = beside / np.maximum(np.linalg.norm(beside, axis=1), 1e-9)[:, None] * angles[:, None]
    shots = [Shot(frame.decode, x, y) for frame, (x, y) in zip(frames, plane.tolist(), strict=True)]
    queries = shots[_OFFICE_STEP // 2 :: _OFFICE_STEP]
    return Places(shots[::_OFFICE_STEP], {"as it is": queries}, _OFFICE_DEGREES)


def aggregations(shots: Sequence[Shot], weights: Path | None) -> tuple[PlaceNetwork, dict[str, Pooling]]:
    """A network with one of the backbones, and all aggregations of its features that need no training.

    The clusters are fitted on images, evenly drawn; hard and soft assignment share them.
    """
    rows = np.linspace(0, len(shots) - 1, min(_FIT_IMAGES, len(shots))).astype(int)
    poolings: dict[str, Pooling] = {"GeM": GeM()}
    for clusters in _CLUSTERS:
        network = fit_network(
            lambda: (shots[row].read() for row in rows), NetworkSpec.of_backbone(clusters=clusters), weights
        )
        hard = HardVLAD(clusters, network.netvlad.channels)
        hard.centroids = network.netvlad.centroids
        poolings |= {
            f"hard VLAD, {clusters} clusters": hard,
            f"NetVLAD, {clusters} clusters": network.aggregate,
        }
    return network, poolings


def recall_rows(name: str, places: Places) -> Iterator[list[str]]:
    light = "as it is"
    for title, weights in _BACKBONES.items():
        network, poolings = aggregations(places.database, weights)
        database, asked = (
            descriptors(network, shots, poolings) for shots in (places.database, places.queries[light])
        )
        for pooling, found in asked.items():
            hits = 100 * places.hits(light, unit(database[pooling]), unit(found)).mean(axis=0)
            yield [name, title, pooling, str(found.shape[1]), *(f"{share:.1f}" for share in hits)]


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def time_rows() -> Iterator[list[str]]:
    """Milliseconds of the backbone, and of each aggregation behind it."""
    image = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    shots = [Shot(lambda: image, 0.0, 0.0)]
    network, poolings = aggregations(shots, IMAGENET)
    inputs = preprocess([image], network.spec.preprocessing, torch.device("cpu"))
    with torch.inference_mode():
        features = network.backbone(inputs)
        calls = {name: partial(pool, features) for name, pool in poolings.items()}
        seconds = median_seconds({"the backbone alone": partial(network.backbone, inputs), **calls}, _TIMED)
    for name, taken in seconds.items():
        yield [name, f"{1e3 * taken:.2f}"]


def _checkpoint(network: PlaceNetwork, file: Path) -> Path:
    if not file.is_file():
        save_checkpoint(network.eval(), file)
    return file


def _of_map(aggregation: str, shop: Workshop, name: str, folder: Path) -> Path:
    """The network that the map has anyway, with another aggregation of the same clusters."""
    own = load_checkpoint(shop.place_map(name).network_path)
    network = PlaceNetwork(replace(own.spec, aggregation=aggregation))
    network.backbone = own.backbone
    layer = network.aggregation
    if isinstance(layer, HardVLAD):
        layer.centroids = own.netvlad.centroids
    return _checkpoint(network, folder / f"{name} {aggregation}.safetensors")


def _class_token(shop: Workshop, name: str, folder: Path) -> Path:
    torch.manual_seed(0)
    small = replace(backbone_named(_TOKEN).preprocessing, size=(112,))
    spec = NetworkSpec(_TOKEN, small, aggregation="class_token")
    return _checkpoint(PlaceNetwork(spec), folder / "class_token.safetensors")


class _Average(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = load_pretrained(DEFAULT_BACKBONE, IMAGENET)

    def forward(self, images: Tensor) -> Tensor:
        return self.backbone(images).mean(dim=(2, 3))


def _foreign(shop: Workshop, name: str, folder: Path) -> Path:
    file = folder / "averages.onnx"
    if not file.is_file():
        plain = folder / "foreign.onnx"
        inputs = (torch.zeros(2, 3, 240, 320),)
        batch = ({0: torch.export.Dim("batch")},)
        torch.onnx.export(_Average().eval(), inputs, str(plain), dynamo=True, dynamic_shapes=batch)
        preprocessing = replace(
            backbone_named(DEFAULT_BACKBONE).preprocessing, resize="exact", size=(240, 320)
        )
        wrap_network(plain, file, preprocessing)
    return file


# How each is made for a map, in a folder to work in; NetVLAD is what the map has anyway.
_KINDS: dict[str, Callable[[Workshop, str, Path], Path] | None] = {
    "NetVLAD": None,
    "hard VLAD": partial(_of_map, "hard_vlad"),
    "GeM": partial(_of_map, "gem"),
    "class token, random weights": _class_token,
    "foreign ONNX, averages": _foreign,
}


def _map_of(shop: Workshop, name: str, kind: str) -> PlaceMap:
    make = _KINDS[kind]
    if make is None:
        return shop.place_map(name)
    folder = shop.folder / "descriptors"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}, {kind.partition(',')[0]}"
    if path.is_dir():
        return PlaceMap.open(path)
    options = BuildOptions(
        store_images="none", store_features="none", weights=make(shop, name, folder), keep_network=True
    )
    return build_map(shop.sources(name)[0], path, options, progress=False)


def _thinned(name: str, source: FrameSource) -> FrameSource:
    """Every third image of a rendered drive, which comes five times a second."""
    return Part(source, lambda index, frame: index % 3 == 0) if name == "town" else source


def filter_row(shop: Workshop, name: str, kind: str) -> list[str]:
    place_map = _map_of(shop, name, kind)
    scene = Scene(name, place_map, _WITHIN.get(name, 2.0))
    drive = shop.drive(place_map, _thinned(name, shop.sources(name)[1]), f"{name} thinned")
    similarities = scene.similarities(drive)
    best = similarities.max(axis=1)
    right = scene.right(drive, similarities.argmax(axis=1))
    single = _curve(best, right)
    default = place_map.header.similarity_threshold
    proposed = propose(single, _PRECISION, default)
    believed, poses, curve = scene.believed(drive)
    away = [
        shop.drive(place_map, _thinned(name, other), f"{what} thinned")
        for what, other in _elsewhere(shop, name)
    ]
    strangers = np.concatenate([scene.similarities(other).max(axis=1) for other in away])
    false = sum(int(scene.believed(other)[1].sum()) for other in away)
    return [
        name, kind, _percent(right), f"{100 * single.recall_at(1.0):.1f}",
        *(cell for least in (default, proposed) for cell in _accepted(best >= least, right)),
        _percent(believed), f"{100 * curve.recall_at(1.0):.1f}", *_accepted(poses, believed),
        *(str(int((strangers >= least).sum())) for least in (default, proposed)),
        f"{false} of {len(strangers)}",
    ]  # fmt: skip


def _elsewhere(shop: Workshop, name: str) -> list[tuple[str, FrameSource]]:
    """Two drives through other places."""
    found = shop.elsewhere(name)
    return [(what, found[what]) for what in list(found)[:2]]


def _accepted(accepted: np.ndarray, right: np.ndarray) -> tuple[str, str]:
    return _percent(accepted & right), str(int((accepted & ~right).sum()))


def _curve(scores: np.ndarray, right: np.ndarray) -> PrecisionRecall:
    return precision_recall(scores, right, np.ones(len(right), bool))


def _percent(share: np.ndarray) -> str:
    return f"{100 * share.mean():.1f}"


def _print_rows(header: Sequence[str], rows: Iterator[list[str]]) -> None:
    """A table that grows while it is measured."""
    for row in (header, ["---"] * len(header)):
        print("| " + " | ".join(row) + " |", flush=True)
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)
    print()


def _all_recall(data: Path, names: Sequence[str]) -> Iterator[list[str]]:
    for name in names:
        places = office(data) if name == _OFFICE else real_places(name, data, with_dusk=False)
        yield from recall_rows(name, places)


def main() -> None:
    arguments = parser(__doc__)
    add_arguments(arguments)
    parts = ("recall", "time", "filter")
    arguments.add_argument("--parts", nargs="+", choices=parts, default=parts, help="(default: all)")
    sets = (*real_sets.SETS, _OFFICE)
    arguments.add_argument(
        "--sets", nargs="+", choices=sets, default=sets, help="of the recall (default: all)"
    )
    kinds = tuple(_KINDS)
    arguments.add_argument("--kinds", nargs="+", choices=kinds, default=kinds, help="(default: all)")
    maps = ("vprbench_corridor", "town")
    arguments.add_argument(
        "--maps", nargs="+", choices=maps, default=maps, help="of the filter (default: all)"
    )
    options = arguments.parse_args()
    print_conditions()
    shop = workshop(options)
    if "recall" in options.parts and shop.data.is_dir():
        header = ["set", "backbone", "descriptor", "numbers", *(f"R@{n}" for n in _RECALL_AT)]
        _print_rows(header, _all_recall(shop.data, options.sets))
    if "time" in options.parts:
        _print_rows(["part", "ms"], time_rows())
    if "filter" in options.parts:
        header = ["map", "descriptor", "single R@1", "P100", "above the map's threshold %", "wrong"]
        header += ["above the calibrated one %", "wrong", "filter R@1", "P100", "poses %", "wrong"]
        header += ["elsewhere: above the map's", "above the calibrated one", "poses"]
        names = [name for name in shop.names() if name in options.maps]
        _print_rows(header, (filter_row(shop, name, kind) for name in names for kind in options.kinds))


if __name__ == "__main__":
    main()
