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

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import real_sets
from benchmarks._measure import parser, print_conditions, print_table
from benchmarks.poolings import Places, Shot, descriptors, real_places
from benchmarks.scenes import Workshop, add_arguments, workshop
from benchmarks.sequence import Scene
from netvlad_core.data.bags.source import BagSource
from netvlad_core.evaluation.calibration import propose
from netvlad_core.evaluation.precision_recall import PrecisionRecall, precision_recall
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.model.backbones import DEFAULT_BACKBONE, backbone_named
from netvlad_core.model.checkpoints import IMAGENET, load_pretrained, save_checkpoint
from netvlad_core.model.fitting import fit_network
from netvlad_core.model.foreign import wrap_network
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.spec import NetworkSpec

_RECALL_AT = (1, 5, 10)
_PRECISION = 0.99
_FIT_IMAGES = 100
_TIMED = 15
_TOKEN = "dinov2_vits14_token"
_WITHIN = {"town": 8.0}
_OFFICE_STEP, _OFFICE_DEGREES = 6, 8.0
# Aggregation, clusters, and the backbone's weights: ImageNet's, or those of the network of this package.
_OFF_THE_SHELF = {
    "GeM": ("gem", 64, IMAGENET),
    "hard VLAD, 32 clusters (AnyLoc's)": ("hard_vlad", 32, IMAGENET),
    "hard VLAD, 64 clusters": ("hard_vlad", 64, IMAGENET),
    "NetVLAD, 64 clusters": ("netvlad", 64, IMAGENET),
    "trained backbone, GeM": ("gem", 64, None),
    "trained backbone, hard VLAD, 64 clusters": ("hard_vlad", 64, None),
    "trained backbone, NetVLAD, 64 clusters": ("netvlad", 64, None),
}


def office(data: Path) -> Places:
    """A hand-held camera that turns: every sixth image against those between; right within 8 degrees."""
    source = BagSource.open(data / "bags" / "tum_fr1_rpy_sqlite3")
    shots = []
    for frame in source:
        if frame.pose is not None:
            axis = frame.pose.rotation.as_matrix()[:, 2]  # of a camera frame
            turned, raised = np.degrees([np.arctan2(axis[1], axis[0]), np.arcsin(axis[2])])
            shots.append(Shot(frame.decode, float(turned), float(raised)))
    queries = shots[_OFFICE_STEP // 2 :: _OFFICE_STEP]
    return Places(shots[::_OFFICE_STEP], {"as it is": queries}, _OFFICE_DEGREES)


def recall_rows(name: str, places: Places) -> Iterator[list[str]]:
    rows = np.linspace(0, len(places.database) - 1, min(_FIT_IMAGES, len(places.database))).astype(int)
    for title, (aggregation, clusters, weights) in _OFF_THE_SHELF.items():
        spec = NetworkSpec.of_backbone(clusters=clusters, aggregation=aggregation)
        network = fit_network(lambda: (places.database[row].read() for row in rows), spec, weights)
        pooling = {title: network.aggregate}
        database, asked = (
            descriptors(network, shots, pooling)[title]
            for shots in (places.database, places.queries["as it is"])
        )
        hits = 100 * places.hits("as it is", database, asked).mean(axis=0)
        yield [name, title, str(network.spec.dimension), *(f"{share:.1f}" for share in hits)]


def time_rows() -> Iterator[list[str]]:
    """Milliseconds of each aggregation, the backbone included."""
    image = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    shot = Shot(lambda: image, 0.0, 0.0)
    for title, (aggregation, clusters, _) in _OFF_THE_SHELF.items():
        if "trained" in title:
            continue
        network = PlaceNetwork(NetworkSpec.of_backbone(clusters=clusters, aggregation=aggregation)).eval()
        times = []
        for _ in range(_TIMED):
            started = perf_counter()
            descriptors(network, [shot], {title: network.aggregate})
            times.append(1e3 * (perf_counter() - started))
        yield [title, str(network.spec.dimension), f"{np.median(times[3:]):.0f}"]


@dataclass(frozen=True)
class _Kind:
    """A descriptor of the second table: its name and how its maps are built, given a folder to work in."""

    name: str
    options: Callable[[Path], BuildOptions]


def _fitted(aggregation: str, folder: Path) -> BuildOptions:
    return BuildOptions(spec=NetworkSpec.of_backbone(aggregation=aggregation))


def _class_token(folder: Path) -> BuildOptions:
    file = folder / "class_token.safetensors"
    if not file.is_file():
        torch.manual_seed(0)
        small = replace(backbone_named(_TOKEN).preprocessing, size=(112,))
        spec = NetworkSpec(_TOKEN, small, aggregation="class_token")
        save_checkpoint(PlaceNetwork(spec).eval(), file)
    return BuildOptions(weights=file, keep_network=True)


class _Average(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = load_pretrained(DEFAULT_BACKBONE, IMAGENET)

    def forward(self, images: Tensor) -> Tensor:
        return self.backbone(images).mean(dim=(2, 3))


def _foreign(folder: Path) -> BuildOptions:
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
    return BuildOptions(weights=file, keep_network=True)


_KINDS = (
    *(_Kind(name, partial(_fitted, name)) for name in ("netvlad", "hard_vlad", "gem")),
    _Kind("class token, random weights", _class_token),
    _Kind("foreign ONNX, averages", _foreign),
)


def filter_row(shop: Workshop, name: str, kind: _Kind) -> list[str]:
    folder = shop.folder / "descriptors"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name} {kind.name.partition(',')[0]}"
    source, asked, _ = shop.sources(name)
    options = replace(kind.options(folder), store_images="none", store_features="none")
    place_map = build_map(source, path, options, progress=False)
    scene = Scene(name, place_map, _WITHIN.get(name, 2.0))
    drive = shop.drive(place_map, asked, f"{name} {kind.name}")
    similarities = scene.similarities(drive)
    best = similarities.max(axis=1)
    right = scene.right(drive, similarities.argmax(axis=1))
    single = _curve(best, right)
    default = place_map.header.similarity_threshold
    proposed = propose(single, _PRECISION, default)
    believed, poses, curve = scene.believed(drive)
    away = [shop.drive(place_map, other, f"{what} {kind.name}") for what, other in _elsewhere(shop, name)]
    strangers = np.concatenate([scene.similarities(other).max(axis=1) for other in away])
    false = sum(int(scene.believed(other)[1].sum()) for other in away)
    return [
        name, kind.name, _percent(right), f"{100 * single.recall_at(1.0):.1f}",
        *(cell for least in (default, proposed) for cell in _accepted(best >= least, right)),
        _percent(believed), f"{100 * curve.recall_at(1.0):.1f}", *_accepted(poses, believed),
        *(str(int((strangers >= least).sum())) for least in (default, proposed)),
        f"{false} of {len(strangers)}",
    ]  # fmt: skip


def _elsewhere(shop: Workshop, name: str) -> list[tuple[str, BagSource]]:
    """Two drives of other places, so that all descriptors are done today."""
    found = shop.elsewhere(name)
    return [(what, found[what]) for what in list(found)[:2]]  # type: ignore[misc]


def _accepted(accepted: np.ndarray, right: np.ndarray) -> tuple[str, str]:
    return _percent(accepted & right), str(int((accepted & ~right).sum()))


def _curve(scores: np.ndarray, right: np.ndarray) -> PrecisionRecall:
    return precision_recall(scores, right, np.ones(len(right), bool))


def _percent(share: np.ndarray) -> str:
    return f"{100 * share.mean():.1f}"


def _print_recall(data: Path, names: Sequence[str]) -> None:
    sets = {name: real_places(name, data, with_dusk=False) for name in names}
    sets |= {"tum_fr1_rpy": office(data)}
    rows = [row for name, places in sets.items() for row in recall_rows(name, places)]
    print_table(["set", "descriptor", "numbers", *(f"R@{n}" for n in _RECALL_AT)], rows)
    print()


def _print_filter(shop: Workshop, kinds: Sequence[str]) -> None:
    header = ["map", "descriptor", "single R@1", "P100", "above the map's threshold %", "wrong"]
    header += ["above the calibrated one %", "wrong", "filter R@1", "P100", "poses %", "wrong"]
    header += ["elsewhere: above the map's", "above the calibrated one", "poses"]
    names = [name for name in shop.names() if name != "rtabmap_corridor"]
    print_table(
        header, [filter_row(shop, name, kind) for name in names for kind in _KINDS if kind.name in kinds]
    )


def main() -> None:
    arguments = parser(__doc__)
    add_arguments(arguments)
    parts = ("recall", "time", "filter")
    arguments.add_argument("--parts", nargs="+", choices=parts, default=parts, help="(default: all)")
    names = [kind.name for kind in _KINDS]
    arguments.add_argument("--kinds", nargs="+", choices=names, default=names, help="(default: all)")
    options: argparse.Namespace = arguments.parse_args()
    print_conditions()
    shop = workshop(options)
    if "recall" in options.parts and shop.data.is_dir():
        _print_recall(shop.data, list(real_sets.SETS))
    if "time" in options.parts:
        print_table(["descriptor", "numbers", "ms"], list(time_rows()))
        print()
    if "filter" in options.parts:
        _print_filter(shop, options.kinds)


if __name__ == "__main__":
    main()
