"""The network inside the package: whole, small, and used where no other is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from netvlad_core import Extractor
from netvlad_core.errors import CheckpointError
from netvlad_core.model.backbones import DEFAULT_BACKBONE, PACKAGED_NETWORK
from netvlad_core.model.checkpoints import IMAGENET, load_checkpoint, load_pretrained
from netvlad_core.model.fitting import fit_network
from support.street import street, view


def test_it_is_small_and_half_precise() -> None:
    assert PACKAGED_NETWORK.stat().st_size < 20e6
    with safe_open(PACKAGED_NETWORK, framework="pt") as file:
        types = {file.get_slice(key).get_dtype() for key in file.keys()}  # noqa: SIM118
    assert types <= {"F16", "I64"}


def test_its_card_names_it() -> None:
    card = (Path(__file__).parents[2] / "docs" / "model_card.md").read_text()
    assert load_checkpoint(PACKAGED_NETWORK).fingerprint() in card


def test_it_is_the_default() -> None:
    assert Extractor.load(device="cpu").model_id == load_checkpoint(PACKAGED_NETWORK).fingerprint()
    packaged, imagenet = (load_pretrained(DEFAULT_BACKBONE, weights) for weights in (None, IMAGENET))
    state, other = packaged.state_dict(), imagenet.state_dict()
    assert any(not torch.equal(state[key], other[key]) for key in state)
    expected = load_checkpoint(PACKAGED_NETWORK).backbone.state_dict()
    assert all(torch.equal(state[key], expected[key]) for key in state)


def test_backbone_of_a_checkpoint(checkpoint: Path) -> None:
    loaded = load_pretrained(DEFAULT_BACKBONE, checkpoint)
    expected = load_checkpoint(checkpoint).backbone
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), expected.parameters(), strict=True))
    with pytest.raises(CheckpointError, match="has the backbone efficientnet_lite0; expected vgg16"):
        load_pretrained("vgg16", checkpoint)


def test_it_sees_past_light() -> None:
    """Views in a twentieth of the light are like the same spots by day, more than off the shelf they are."""
    fronts, others = street(seed=11, metres=120), street(seed=5, metres=120)
    off_the_shelf = fit_network(
        lambda: (view(others, x) for x in range(0, 120, 4)), backbone_weights=IMAGENET, device="cpu"
    )
    alike = []
    for extractor in (Extractor.load(device="cpu"), Extractor.of(off_the_shelf, "cpu")):
        day = extractor([view(fronts, x) for x in range(0, 120, 12)])
        dim = [(view(fronts, x) * np.array((0.08, 0.05, 0.03))).astype(np.uint8) for x in range(0, 120, 12)]
        similarities = extractor(dim) @ day.T
        alike.append((float(np.diag(similarities).mean()), similarities.argmax(axis=1).tolist()))
    (trained, found), (untrained, _) = alike
    assert found == list(range(10))
    assert trained > 1.5 * untrained
