"""The network run by torch: its precision is that of the arithmetic, and devices are named."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import nn

from netvlad_core.errors import NetvladError
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.torch_engine import TorchEngine, _keep_in, find_device, preprocess, run_network


def types_in(
    network: PlaceNetwork, engine: TorchEngine, images: Sequence[np.ndarray]
) -> dict[str, torch.dtype]:
    """Type of what each convolution and linear layer puts out while the engine describes."""
    found: dict[str, torch.dtype] = {}

    def note(name: str) -> object:
        return lambda module, inputs, output: found.__setitem__(name, output.dtype)

    hooks = [
        module.register_forward_hook(note(name))
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    engine.describe(images)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_backbone_runs_in_its_precision_and_the_rest_in_float32(
    precision: str, small_network: PlaceNetwork, street_views: list[np.ndarray]
) -> None:
    engine = TorchEngine(small_network, "cpu", precision)
    types = types_in(small_network, engine, street_views[:1])
    backbone = {found for name, found in types.items() if name.startswith("backbone")}
    head = {found for name, found in types.items() if not name.startswith("backbone")}
    assert backbone == {getattr(torch, precision)}
    assert head == {torch.float32}
    assert len(types) == 5 + 2
    assert engine.precision == precision


@pytest.mark.parametrize(("precision", "lowest"), [("bfloat16", 0.98), ("float16", 0.9999)])
def test_half_precision_differs_little_and_keeps_the_model(
    precision: str, lowest: float, small_network: PlaceNetwork, street_views: list[np.ndarray]
) -> None:
    whole, half = (TorchEngine(small_network, "cpu", p) for p in ("float32", precision))
    expected, found = whole.describe(street_views), half.describe(street_views)
    assert found.dtype == np.float32
    similarity = (expected * found).sum(axis=1)
    assert lowest < similarity.min() < 1 - 1e-7
    assert half.model_id == whole.model_id


@pytest.mark.parametrize(("precision", "lowest"), [("bfloat16", 0.98), ("float16", 0.999)])
def test_weights_that_a_gpu_keeps_in_a_precision_describe_alike(
    precision: str, lowest: float, small_network: PlaceNetwork, street_views: list[np.ndarray]
) -> None:
    kept = copy.deepcopy(small_network)
    _keep_in(kept, precision)
    assert {p.dtype for p in kept.whitening.parameters()} == {getattr(torch, precision)}
    assert {p.dtype for p in kept.netvlad.parameters()} == {torch.float32}
    inputs = preprocess(street_views, kept.spec.preprocessing, torch.device("cpu"))
    with torch.inference_mode():
        found, expected = run_network(kept, inputs, precision), run_network(small_network, inputs, "float32")
    assert found.dtype == torch.float32
    assert float((found * expected).sum(dim=1).min()) > lowest


def test_int8_is_not_of_torch(small_network: PlaceNetwork) -> None:
    with pytest.raises(NetvladError, match="float32, bfloat16, float16, not 'int8'"):
        TorchEngine(small_network, "cpu", "int8")


@pytest.mark.parametrize("name", ["abacus", "cuda:99"])
def test_device_that_is_not_here_is_named(name: str) -> None:
    with pytest.raises(NetvladError, match=f"'{name}'.*'auto' takes what is there"):
        find_device(name)
