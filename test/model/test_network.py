"""The network's description, its name and its fingerprint."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from netvlad_core.model.backbones import BACKBONES
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.spec import NetworkSpec

SPEC = NetworkSpec("efficientnet_lite0", BACKBONES["efficientnet_lite0"].preprocessing, clusters=4)


@pytest.fixture
def network() -> PlaceNetwork:
    torch.manual_seed(0)
    return PlaceNetwork(replace(SPEC, whitened_dimension=6)).eval()


def test_dimension_and_name_follow_the_description() -> None:
    assert (SPEC.dimension, SPEC.name) == (448, "efficientnet_lite0-netvlad4")
    whitened = replace(SPEC, whitened_dimension=6)
    assert (whitened.dimension, whitened.name) == (6, "efficientnet_lite0-netvlad4-white6")


@pytest.mark.parametrize("dimension", [None, 6])
def test_descriptors_have_the_stated_dimension_and_unit_length(dimension: int | None) -> None:
    spec = replace(SPEC, whitened_dimension=dimension)
    with torch.inference_mode():
        descriptors = PlaceNetwork(spec).eval()(torch.randn(2, 3, 64, 80))
    assert descriptors.shape == (2, spec.dimension)
    torch.testing.assert_close(descriptors.norm(dim=1), torch.ones(2))


def test_fingerprint_names_the_network_and_is_stable(network: PlaceNetwork) -> None:
    name, _, digest = network.fingerprint().partition("@")
    assert name == "efficientnet_lite0-netvlad4-white6"
    assert len(digest) == 12
    copy = PlaceNetwork(network.spec)
    assert copy.fingerprint() != network.fingerprint(), "random weights differ"
    copy.load_state_dict(network.state_dict())
    assert copy.fingerprint() == network.fingerprint()
    copy.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert copy.fingerprint() == network.fingerprint()


def test_fingerprint_changes_with_every_tensor(network: PlaceNetwork) -> None:
    seen = {network.fingerprint()}
    weights = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    for tensor in weights.values():
        tensor.view(-1)[-1] += 1e-3
        seen.add(network.fingerprint())
    assert len(seen) == 1 + len(weights) > 50


def test_fingerprint_ignores_bookkeeping_of_training(network: PlaceNetwork) -> None:
    before = network.fingerprint()
    network.state_dict()["backbone._bn0.num_batches_tracked"] += 1
    assert network.fingerprint() == before


@pytest.mark.parametrize(
    "change",
    [
        {"size": (241,)},
        {"resize": "limit"},
        {"mean": (127.0, 127.0, 126.9)},
        {"std": (128.0, 127.0, 128.0)},
    ],
)
def test_fingerprint_changes_with_the_preprocessing(network: PlaceNetwork, change: dict) -> None:
    before = network.fingerprint()
    network.spec = replace(network.spec, preprocessing=replace(network.spec.preprocessing, **change))
    assert network.fingerprint() != before


def test_fingerprint_changes_with_the_form_of_the_layer(network: PlaceNetwork) -> None:
    before = network.fingerprint()
    network.spec = replace(network.spec, intra_normalization=False)
    assert network.fingerprint() != before
