"""How features become a descriptor, off the shelf and trained, on places that no training has seen.

The first rows share one backbone, EfficientNet-Lite0 with its ImageNet weights, off the shelf. The 64
clusters of "NetVLAD, initialised" are fitted on images of the other real sets, never on the set that is
tested (500 images, evenly drawn); those of "NetVLAD, clusters of the map" on the database that is searched,
as `netvlad build-map` does. The trained network, by default the one of this package, is measured as it is
and, unless it whitens, with its clusters fitted anew on the map.

Sets: the real ones, of ietower the floors left out of training; with --dusk each once more, its queries
darkened as at dusk under lamps (another model of light than the augmentation of the training); with --town
the rendered town of seed 7, noon against evening (benchmarks.sequence). Intervals: 95 %, bootstrap over
queries (in the mean of the sets, within each set).

example:
  python -m benchmarks.poolings --dusk --against "NetVLAD, clusters of the map"
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks import real_sets
from benchmarks._measure import parser, print_conditions, print_table
from netvlad_core.data.bags.source import BagSource
from netvlad_core.data.images import read_image
from netvlad_core.data.radii import POSITIVE_WITHIN
from netvlad_core.evaluation.recall import recall_by_position
from netvlad_core.mapping.keyframes import default_rule, select_keyframes
from netvlad_core.model.backbones import DEFAULT_BACKBONE, PACKAGED_NETWORK
from netvlad_core.model.checkpoints import IMAGENET, load_checkpoint, load_pretrained
from netvlad_core.model.fitting import cluster, sample_local_descriptors
from netvlad_core.model.gem import GeM
from netvlad_core.model.hard_vlad import HardVLAD
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.spec import NetworkSpec
from netvlad_core.model.torch_engine import preprocess

_RECALL_AT = (1, 5, 10)
_CLUSTER_IMAGES = 500
_RESAMPLES = 2000
_TOWN_QUERY_STEP = 3
_CPU = torch.device("cpu")
_MAX, _INITIALISED, _MAPPED = "max pooling", "NetVLAD, initialised", "NetVLAD, clusters of the map"
_TRAINED, _TRAINED_MAPPED = "trained NetVLAD", "trained NetVLAD, clusters of the map"

Pooling = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Shot:
    """An image, uint8 RGB (H, W, 3), to be read, and where it was taken."""

    read: Callable[[], np.ndarray]
    x: float
    y: float


@dataclass(frozen=True)
class Places:
    """A database, queries in one light or several, and the distance within which one is correct."""

    database: Sequence[Shot]
    queries: Mapping[str, Sequence[Shot]]
    radius: float

    @property
    def shots(self) -> list[Shot]:
        """All images as they were taken."""
        return [*self.database, *next(iter(self.queries.values()))]

    def hits(self, light: str, database: np.ndarray, queries: np.ndarray) -> np.ndarray:
        """(Q, 3) float, whether a correct place is among the first 1, 5, 10 by descriptors (N, D), (Q, D)."""
        order = np.argsort(-queries @ database.T, axis=1, kind="stable")
        places, asked = (
            np.array([[s.x, s.y] for s in shots]) for shots in (self.database, self.queries[light])
        )
        ranks = recall_by_position(order, places, asked, self.radius).first_correct
        return (ranks[:, None] < np.array(_RECALL_AT)).astype(float)


def real_places(name: str, data: Path, with_dusk: bool) -> Places:
    places, asked, radius = real_sets.SETS[name](data)
    database, queries = (
        [Shot(partial(read_image, path), x, y) for path, x, y, _ in rows] for rows in (places, asked)
    )
    lights = {"as it is": queries}
    if with_dusk:
        lights["dusk"] = [
            replace(shot, read=partial(_dusk, shot.read, seed)) for seed, shot in enumerate(queries)
        ]
    return Places(database, lights, radius)


def rendered_places(folder: Path, step: int = _TOWN_QUERY_STEP) -> Places:
    """The town at noon, and every `step`-th image of its evening as queries."""
    shots = []
    for name, every in (("noon", 1), ("evening", step)):
        source = BagSource.open(folder / name)
        frames = list(select_keyframes(source, default_rule(source)))[::every]
        shots.append([Shot(f.decode, *f.pose.position[:2].tolist()) for f in frames if f.pose])
    return Places(shots[0], {"evening": shots[1]}, radius=POSITIVE_WITHIN)


def _dusk(read: Callable[[], np.ndarray], seed: int) -> np.ndarray:
    """Little blue light from above, pools of lamplight, the noise of a short exposure."""
    image, random = read(), np.random.default_rng(seed)
    height, width = image.shape[:2]
    light = np.full((height, width, 3), (0.06, 0.07, 0.10)) * random.uniform(0.7, 1.5)
    y, x = np.mgrid[:height, :width] / height
    for _ in range(random.integers(1, 5)):
        at, size = random.uniform(0, (1, width / height)), random.uniform(0.1, 0.4)
        pool = np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / (2 * size**2))
        light += random.uniform(0.2, 0.9) * pool[..., None] * (1.0, 0.78, 0.5)
    linear = (image / 255.0) ** 2.2 * light
    exposed = linear * min(6.0, 0.18 / max(linear.mean(), 1e-4)) * 0.6
    noisy = exposed + random.normal(size=linear.shape) * np.sqrt(0.0004 + 0.002 * exposed)
    blurred = cv2.GaussianBlur(noisy.clip(0, 1), (0, 0), 0.004 * height)
    return (255 * blurred ** (1 / 2.2)).round().astype(np.uint8)


def max_pooling(features: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C), L2-normalised; the paper's f_max."""
    return functional.normalize(features.amax(dim=(2, 3)), dim=1)


def average_pooling(features: Tensor) -> Tensor:
    return functional.normalize(features.mean(dim=(2, 3)), dim=1)


def gem_pooling(features: Tensor) -> Tensor:
    return functional.normalize(GeM()(features), dim=1)


def off_the_shelf() -> PlaceNetwork:
    """The backbone with its ImageNet weights and a NetVLAD layer that is not fitted yet."""
    network = PlaceNetwork(NetworkSpec.of_backbone())
    network.backbone = load_pretrained(DEFAULT_BACKBONE, IMAGENET)
    return network.eval()


def fitted(network: PlaceNetwork, shots: Sequence[Shot], seed: int) -> PlaceNetwork:
    """A copy whose clusters are fitted on images, evenly drawn."""
    network = copy.deepcopy(network)
    rows = np.linspace(0, len(shots) - 1, min(_CLUSTER_IMAGES, len(shots))).round().astype(int)
    samples = sample_local_descriptors(network, (shots[row].read() for row in rows), seed, _CPU)
    network.netvlad.initialize(cluster(samples, network.spec.clusters, seed), samples)
    return network


@torch.inference_mode()
def descriptors(
    network: PlaceNetwork, shots: Sequence[Shot], poolings: Mapping[str, Pooling]
) -> dict[str, np.ndarray]:
    """Each image once through the backbone, then through every pooling: (N, D) float32."""
    rows: dict[str, list[np.ndarray]] = {name: [] for name in poolings}
    for shot in shots:
        features = network.backbone(preprocess([shot.read()], network.spec.preprocessing, _CPU))
        for name, pool in poolings.items():
            rows[name].append(pool(features.float())[0].numpy())
    return {name: np.array(values) for name, values in rows.items()}


def measure(
    places: Places, others: Sequence[Shot], trained: PlaceNetwork, seed: int
) -> Iterator[tuple[str, str, int, np.ndarray]]:
    """Light, method, dimensions and hits of one set; the clusters of another one are fitted on `others`."""
    network = off_the_shelf()
    poolings: dict[str, Pooling] = {
        _MAX: max_pooling,
        "average pooling": average_pooling,
        "GeM": gem_pooling,
    }
    if others:
        poolings[_INITIALISED] = fitted(network, others, seed).aggregate
    mapped = fitted(network, places.database, seed)
    hard = HardVLAD(mapped.spec.clusters, mapped.netvlad.channels)
    hard.centroids = mapped.netvlad.centroids
    poolings |= {_MAPPED: mapped.aggregate, "hard VLAD, the same clusters": hard}
    learned: dict[str, Pooling] = {_TRAINED: trained.aggregate}
    if not trained.spec.whitened_dimension:
        learned[_TRAINED_MAPPED] = fitted(trained, places.database, seed).aggregate

    def describe(shots: Sequence[Shot]) -> dict[str, np.ndarray]:
        return descriptors(network, shots, poolings) | descriptors(trained, shots, learned)

    database = describe(places.database)
    for light, shots in places.queries.items():
        for method, values in describe(shots).items():
            yield light, method, values.shape[1], places.hits(light, database[method], values)


def interval(sets: list[np.ndarray]) -> list[str]:
    """Mean over sets of the mean over queries, in %, with its bootstrap interval, for each column."""
    generator = np.random.default_rng(0)
    resampled = np.mean(
        [
            values[generator.integers(0, len(values), (_RESAMPLES, len(values)))].mean(axis=1)
            for values in sets
        ],
        axis=0,
    )
    mean = np.mean([values.mean(axis=0) for values in sets], axis=0)
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    return [f"{100 * m:.1f} [{100 * a:.1f}, {100 * b:.1f}]" for m, a, b in zip(mean, low, high)]


def main() -> None:
    arguments = parser(__doc__)
    methods = (_MAX, _INITIALISED, _MAPPED)
    arguments.add_argument("--data", type=Path, default=real_sets.DATA, help="folder of the sets")
    arguments.add_argument(
        "--sets", nargs="+", choices=real_sets.SETS, default=list(real_sets.SETS), metavar="S"
    )
    arguments.add_argument("--dusk", action="store_true", help="the sets once more with darkened queries")
    arguments.add_argument(
        "--town", type=Path, metavar="FOLDER", help="where benchmarks.sequence rendered it"
    )
    arguments.add_argument("--weights", type=Path, default=PACKAGED_NETWORK, help="of the trained network")
    arguments.add_argument(
        "--against", choices=methods, default=_MAX, help="row of the last column's difference"
    )
    arguments.add_argument("--seed", type=int, default=0, help="of the clustering")
    options = arguments.parse_args()
    if not options.data.is_dir():
        print(f"the real sets are not in {options.data}: nothing to measure")
        return
    print_conditions()
    trained = load_checkpoint(options.weights).eval()
    real = {name: real_places(name, options.data.resolve(), options.dusk) for name in options.sets}
    sets = real | ({"town": rendered_places(options.town)} if options.town else {})
    found: dict[str, dict[str, dict[str, np.ndarray]]] = {}  # by light, method and set
    dimensions: dict[str, int] = {}
    for name, places in sets.items():
        others = [shot for other in real if other != name for shot in real[other].shots]
        for light, method, dimension, values in measure(places, others, trained, options.seed):
            found.setdefault(light, {}).setdefault(method, {})[name] = values
            dimensions[method] = dimension
    rows = []
    for light, by_method in found.items():
        names = list(by_method[_MAX])
        groups = {name: [name] for name in names} | ({"mean": names} if len(names) > 1 else {})
        for title, group in groups.items():
            for method, by_set in by_method.items():
                shares = interval([by_set[name] for name in group])
                gain = interval([(by_set[n] - by_method[options.against][n])[:, :1] for n in group])[0]
                shown = "" if method == options.against else gain
                rows.append([f"{title}, {light}", method, str(dimensions[method]), *shares, shown])
    print_table(
        ["set", "descriptor", "D", *(f"R@{n}" for n in _RECALL_AT), f"R@1 above {options.against}"], rows
    )


if __name__ == "__main__":
    main()
