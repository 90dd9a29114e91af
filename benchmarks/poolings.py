"""How features become a descriptor: max, average and GeM pooling against NetVLAD, on real places.

All rows but the trained ones share one backbone, EfficientNet-Lite0 with its ImageNet weights, off the shelf.
The 64 clusters of "NetVLAD, initialised" are fitted on images of the other sets, never on the set that is
tested (500 images, evenly drawn); those of "NetVLAD, clusters of the map" on the database that is searched,
as `netvlad build-map` does. With --weights a trained network is measured as it is and, unless it whitens,
with its clusters fitted anew on the map. Intervals: 95 %, bootstrap over queries (in the mean of the sets,
within each set).

example:
  python benchmarks/poolings.py --weights trained.safetensors
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import real_sets
import torch
from _measure import print_conditions, print_table
from torch import Tensor
from torch.nn import functional

from netvlad_core.data.images import read_image
from netvlad_core.evaluation.recall import positives_within
from netvlad_core.model.backbones import DEFAULT_BACKBONE, backbone_named
from netvlad_core.model.checkpoints import load_checkpoint
from netvlad_core.model.fitting import cluster, sample_local_descriptors
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.pretrained import load_pretrained
from netvlad_core.model.spec import NetworkSpec
from netvlad_core.model.torch_engine import preprocess

_RECALL_AT = (1, 5, 10)
_CLUSTER_IMAGES = 500
_RESAMPLES = 2000
_GEM_EXPONENT = 3.0
_CPU = torch.device("cpu")
_MAX, _INITIALISED, _MAPPED = "max pooling", "NetVLAD, initialised", "NetVLAD, clusters of the map"

Pooling = Callable[[Tensor], Tensor]


def max_pooling(features: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C), L2-normalised; the paper's f_max."""
    return functional.normalize(features.amax(dim=(2, 3)), dim=1)


def average_pooling(features: Tensor) -> Tensor:
    return functional.normalize(features.mean(dim=(2, 3)), dim=1)


def gem_pooling(features: Tensor) -> Tensor:
    """Generalised mean of the positive parts (Radenovic et al., PAMI 2018)."""
    powers = features.clamp_min(1e-6) ** _GEM_EXPONENT
    return functional.normalize(powers.mean(dim=(2, 3)) ** (1 / _GEM_EXPONENT), dim=1)


def off_the_shelf() -> PlaceNetwork:
    """The backbone with its ImageNet weights and a NetVLAD layer that is not fitted yet."""
    network = PlaceNetwork(NetworkSpec(DEFAULT_BACKBONE, backbone_named(DEFAULT_BACKBONE).preprocessing))
    network.backbone = load_pretrained(DEFAULT_BACKBONE, None)
    return network.eval()


def fitted(network: PlaceNetwork, images: list[Path], seed: int) -> PlaceNetwork:
    """A copy whose clusters are fitted on images."""
    network = copy.deepcopy(network)
    samples = sample_local_descriptors(network, map(read_image, images), seed, _CPU)
    network.netvlad.initialize(cluster(samples, network.spec.clusters, seed), samples)
    return network


@torch.inference_mode()
def descriptors(
    network: PlaceNetwork, paths: list[Path], poolings: Mapping[str, Pooling]
) -> dict[str, np.ndarray]:
    """Each image once through the backbone, then through every pooling: (N, D) float32."""
    rows: dict[str, list[np.ndarray]] = {name: [] for name in poolings}
    for path in paths:
        features = network.backbone(preprocess([read_image(path)], network.spec.preprocessing, _CPU))
        for name, pool in poolings.items():
            rows[name].append(pool(features.float())[0].numpy())
    return {name: np.array(values) for name, values in rows.items()}


def hits(described: np.ndarray, places: int, positives: np.ndarray) -> np.ndarray:
    """(Q, 3) float, whether a correct place is among the first 1, 5, 10."""
    order = np.argsort(-described[places:] @ described[:places].T, axis=1, kind="stable")
    correct = np.take_along_axis(positives, order, axis=1)
    return np.stack([correct[:, :n].any(axis=1) for n in _RECALL_AT], axis=1).astype(float)


def measure(
    name: str, sets: Mapping[str, tuple], trained: PlaceNetwork | None, seed: int
) -> Iterator[tuple[str, int, np.ndarray]]:
    """Method, dimensions and hits of one set."""
    places, queries, radius = sets[name]
    paths = [path for path, _, _ in (*places, *queries)]
    others = [path for other in sets if other != name for path, _, _ in (*sets[other][0], *sets[other][1])]
    positives = positives_within(_positions(places), _positions(queries), radius)
    mapped = paths[: len(places)]
    network = off_the_shelf()
    poolings: dict[str, Pooling] = {
        _MAX: max_pooling,
        "average pooling": average_pooling,
        "GeM": gem_pooling,
    }
    if others:
        poolings[_INITIALISED] = fitted(network, _evenly(others), seed).aggregate
    poolings[_MAPPED] = fitted(network, _evenly(mapped), seed).aggregate
    described = descriptors(network, paths, poolings)
    if trained is not None:
        poolings = {"trained": trained.aggregate}
        if not trained.spec.whitened_dimension:
            poolings["trained, clusters of the map"] = fitted(trained, _evenly(mapped), seed).aggregate
        described |= descriptors(trained, paths, poolings)
    for method, values in described.items():
        yield method, values.shape[1], hits(values, len(places), positives)


def _evenly(paths: list[Path]) -> list[Path]:
    rows = np.linspace(0, len(paths) - 1, min(_CLUSTER_IMAGES, len(paths))).round().astype(int)
    return [paths[row] for row in rows]


def _positions(rows: real_sets.Rows) -> np.ndarray:
    return np.array([[x, y] for _, x, y in rows])


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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    root = Path(__file__).resolve().parents[1]
    parser.add_argument(
        "--data", type=Path, default=root.parent / "shared" / "data", help="folder of the sets"
    )
    parser.add_argument(
        "--sets", nargs="+", choices=real_sets.SETS, default=list(real_sets.SETS), metavar="S"
    )
    parser.add_argument(
        "--floors",
        nargs="+",
        metavar="F",
        help="of ietower, those that no network was trained on (default: all)",
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="checkpoint of a trained network")
    parser.add_argument(
        "--against",
        choices=(_MAX, _INITIALISED, _MAPPED),
        default=_MAX,
        help="row of the last column's difference",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the clustering")
    options = parser.parse_args()
    if not options.data.is_dir():
        print(f"the real sets are not in {options.data}: nothing to measure")
        return
    print_conditions()
    trained = load_checkpoint(options.weights).eval() if options.weights else None
    sets = {name: read(options.data.resolve()) for name, read in real_sets.SETS.items()}
    if options.floors:
        places, queries, radius = sets["ietower"]
        places, queries = (
            [row for row in rows if row[0].parent.name in options.floors] for rows in (places, queries)
        )
        sets["ietower"] = places, queries, radius
    found: dict[str, dict[str, np.ndarray]] = {}
    dimensions: dict[str, int] = {}
    for name in options.sets:
        for method, dimension, values in measure(name, sets, trained, options.seed):
            found.setdefault(method, {})[name] = values
            dimensions[method] = dimension
    groups = {name: [name] for name in options.sets}
    if len(options.sets) > 1:
        groups["mean of the sets"] = options.sets
    rows = []
    for group, names in groups.items():
        for method, by_set in found.items():
            shares = interval([by_set[name] for name in names])
            gain = interval([(by_set[name] - found[options.against][name])[:, :1] for name in names])[0]
            shown = "" if method == options.against else gain
            rows.append([group, method, str(dimensions[method]), *shares, shown])
    print_table(
        ["set", "descriptor", "D", *(f"R@{n}" for n in _RECALL_AT), f"R@1 above {options.against}"], rows
    )


if __name__ == "__main__":
    main()
