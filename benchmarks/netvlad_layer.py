"""Time and memory of the NetVLAD layer, against two usual ways to write it.

The layer, on a feature map of VGG16 at 640x480 (30x40x512 per image), K = 64, against a tensor of all
residuals (B x K x D x N) and against a loop over the clusters; the three must agree. Forward, and with
backward. The memory is the growth of the process's peak, each case in a process of its own.

example:
  python -m benchmarks.netvlad_layer --batch 2
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks._measure import median_seconds, parser, peak_megabytes, print_conditions, print_table
from netvlad_core.model.netvlad import NetVLAD

Layer = Callable[[NetVLAD, Tensor], Tensor]


def matrix_form(layer: NetVLAD, features: Tensor) -> Tensor:
    """The layer as it is."""
    return layer(features)


def cluster_loop(layer: NetVLAD, features: Tensor) -> Tensor:
    """One cluster after the other: memory for the residuals of one."""
    x, weights = _assign(layer, features)
    vlad = torch.stack(
        [
            ((x - centroid[None, :, None]) * weights[:, k, None]).sum(dim=2)
            for k, centroid in enumerate(layer.centroids)
        ],
        dim=1,
    )
    return _normalize(vlad)


def residual_tensor(layer: NetVLAD, features: Tensor) -> Tensor:
    """All residuals at once, as the equation reads."""
    x, weights = _assign(layer, features)
    residuals = x[:, None] - layer.centroids[None, :, :, None]
    return _normalize((residuals * weights[:, :, None]).sum(dim=3))


def _assign(layer: NetVLAD, features: Tensor) -> tuple[Tensor, Tensor]:
    x = functional.normalize(features, dim=1)
    return x.flatten(2), layer.assignment(x).flatten(2).softmax(dim=1)


def _normalize(vlad: Tensor) -> Tensor:
    return functional.normalize(functional.normalize(vlad, dim=2).flatten(1), dim=1)


FORMS: dict[str, Layer] = {
    "matrix form (this layer)": matrix_form,
    "loop over clusters": cluster_loop,
    "residual tensor": residual_tensor,
}


def forward(form: Layer, layer: NetVLAD, features: Tensor) -> Tensor:
    with torch.inference_mode():
        return form(layer, features)


def forward_backward(form: Layer, layer: NetVLAD, features: Tensor) -> Tensor:
    """Return the gradient of the features."""
    features = features.detach().requires_grad_()
    layer.zero_grad()
    # Any function of the descriptor will do; its sum of squares would be constant.
    form(layer, features)[:, ::3].sum().backward()
    assert features.grad is not None
    return features.grad


PASSES = {"forward": forward, "forward and backward": forward_backward}


def make_case(options: argparse.Namespace) -> tuple[NetVLAD, Tensor]:
    """The layer with usable clusters, and feature maps as a ReLU leaves them."""
    torch.manual_seed(0)
    layer = NetVLAD(options.clusters, options.channels)
    samples = functional.normalize(torch.rand(2000, options.channels), dim=1)
    layer.initialize(samples[: options.clusters], samples)
    return layer, torch.rand(options.batch, options.channels, options.height, options.width)


def measure_memory(options: argparse.Namespace, step: str, form: str) -> float:
    """Growth of the peak memory in MB, in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_growth, (options, step, form))


def _growth(options: argparse.Namespace, step: str, form: str) -> float:
    layer, features = make_case(options)
    # A first pass over a single image loads what torch loads late.
    PASSES[step](FORMS[form], layer, features[:1, :, :4, :4])
    before = peak_megabytes()
    PASSES[step](FORMS[form], layer, features)
    return peak_megabytes() - before


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--batch", type=int, default=8, help="(default: %(default)s)")
    arguments.add_argument("--height", type=int, default=30, help="of the feature map (default: %(default)s)")
    arguments.add_argument("--width", type=int, default=40, help="(default: %(default)s)")
    arguments.add_argument("--channels", type=int, default=512, help="D (default: %(default)s)")
    arguments.add_argument("--clusters", type=int, default=64, help="K (default: %(default)s)")
    arguments.add_argument("--rounds", type=int, default=5, help="timed rounds (default: %(default)s)")
    options = arguments.parse_args()

    layer, features = make_case(options)
    print(
        f"batch {options.batch}, {options.height}x{options.width}x{options.channels}, K = {options.clusters}"
    )
    print_conditions()
    for step, run in PASSES.items():
        results = {name: run(form, layer, features) for name, form in FORMS.items()}
        expected = results["residual tensor"]
        scale = float(expected.abs().max())
        difference = max(float((result - expected).abs().max()) / scale for result in results.values())
        del results, expected
        seconds = median_seconds(
            {name: partial(run, form, layer, features) for name, form in FORMS.items()},
            options.rounds,
        )
        memory = {name: measure_memory(options, step, name) for name in FORMS}
        ours = next(iter(FORMS))
        print_table(
            [step, "seconds", "x", "MB", "x"],
            [
                [
                    name,
                    f"{seconds[name]:.3f}",
                    f"{seconds[name] / seconds[ours]:.1f}",
                    f"{memory[name]:.0f}",
                    f"{memory[name] / memory[ours]:.1f}",
                ]
                for name in FORMS
            ],
        )
        print(f"they agree within {difference:.0e} of the largest entry\n", flush=True)
        if difference > 1e-4:
            raise SystemExit("the forms do not agree")


if __name__ == "__main__":
    main()
