"""Sharpness of the soft assignment after initialisation, on the local descriptors of real drives.

The paper sets alpha so that the largest assignment of a local descriptor is 100 times the second one, as a
geometric mean. Printed for both initialisations (v1 without bias, v2 with), over the sample that the clusters
are fitted on and over as many of each query, which they have not seen.

example:
  python -m benchmarks.cluster_ratio --sets vprbench_corridor
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks import real_sets
from benchmarks._measure import parser, print_conditions, print_table
from netvlad_core.data.images import read_image
from netvlad_core.model.backbones import DEFAULT_BACKBONE
from netvlad_core.model.checkpoints import IMAGENET, load_pretrained
from netvlad_core.model.fitting import cluster, sample_local_descriptors
from netvlad_core.model.netvlad import NetVLAD
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.spec import NetworkSpec

_SETS = ("vprbench_corridor", "rtabmap_corridor", "toshiki_loop")
_CLUSTERS = 64


def geometric_mean_ratio(layer: NetVLAD, samples: Tensor) -> float:
    """Of the largest to the second soft assignment of local descriptors (N, D)."""
    scores = functional.linear(samples, layer.assignment.weight.flatten(1), layer.assignment.bias)
    best = scores.topk(2, dim=1).values
    return math.exp(float((best[:, 0] - best[:, 1]).double().mean()))


@torch.inference_mode()
def measure(name: str, data: Path) -> Iterator[list[str]]:
    """Rows of the table for one set."""
    places, queries, _ = getattr(real_sets, name)(data)
    network = PlaceNetwork(NetworkSpec.of_backbone())
    network.backbone = load_pretrained(DEFAULT_BACKBONE, IMAGENET)
    fitted, unseen = (
        sample_local_descriptors(network, _images(rows), 0, torch.device("cpu")) for rows in (places, queries)
    )
    centroids = cluster(fitted, _CLUSTERS, seed=0)
    for with_bias in (False, True):
        layer = NetVLAD(_CLUSTERS, fitted.shape[1], with_bias)
        alpha = layer.initialize(centroids, fitted)
        ratios = [geometric_mean_ratio(layer, samples) for samples in (fitted, unseen)]
        yield [name, "v2" if with_bias else "v1", f"{alpha:.1f}", *(f"{ratio:.2f}" for ratio in ratios)]


def _images(rows: real_sets.Rows) -> Iterator[np.ndarray]:
    return (read_image(path) for path, *_ in rows)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--data", type=Path, default=real_sets.DATA, help="folder of the sets")
    arguments.add_argument("--sets", nargs="+", choices=_SETS, default=_SETS, metavar="S")
    options = arguments.parse_args()
    if not options.data.is_dir():
        print(f"the real sets are not in {options.data}: nothing to measure")
        return
    print_conditions()
    rows = [row for name in options.sets for row in measure(name, options.data.resolve())]
    print_table(["set", "assignment", "alpha", "ratio, fitted", "ratio, queries"], rows)


if __name__ == "__main__":
    main()
