"""Gradients do not depend on how many images are in the network at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from netvlad_core.errors import NetvladError
from netvlad_core.model.checkpoints import load_checkpoint
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.torch_engine import preprocess
from netvlad_core.training.batches import PlaceBatch, TupleBatch
from netvlad_core.training.config import TrainingConfig
from netvlad_core.training.gradients import Gradients
from netvlad_core.training.processes import Processes
from netvlad_core.training.trainer import train_only
from support.street import street, view

TUPLES = TupleBatch(np.array([[0, 1, 4, 5, -1], [2, 3, 5, -1, -1], [6, 7, 0, 1, 2]]))
PLACES = PlaceBatch(np.arange(8), np.array([0, 0, 0, 1, 1, 1, 2, 2]))
CONFIG = replace(TrainingConfig(), margin=2.0)
CPU = torch.device("cpu")


@pytest.fixture
def network(tiny: Path) -> PlaceNetwork:
    network = load_checkpoint(tiny)
    preprocessing = replace(network.spec.preprocessing, resize="shorter", size=(64,))
    network.spec = replace(network.spec, preprocessing=preprocessing)
    return network


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    """Eight of two sizes, which cannot go through the network together."""
    fronts = street(seed=1, metres=60)
    return [view(fronts, 7 * i)[: 120 - 20 * (i // 4)] for i in range(8)]


def flat(parameters: list[nn.Parameter]) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])


def computed(network: PlaceNetwork, batch, images, at_once: int = 0, said=None) -> tuple[float, torch.Tensor]:
    parameters = train_only(network, 2)
    config = replace(CONFIG, images_at_once=at_once)
    gradients = Gradients(
        network, parameters, config, Processes("cpu"), (lambda _: None) if said is None else said.append
    )
    loss, count = gradients.compute(batch, images, lambda x: x)
    assert count > 0
    return loss, flat(parameters)


@pytest.mark.parametrize("batch", [TUPLES, PLACES])
@pytest.mark.parametrize("at_once", [0, 3, 1])
def test_equal_to_plain_backpropagation(network: PlaceNetwork, images, batch, at_once: int) -> None:
    loss, found = computed(network, batch, images, at_once)
    parameters = train_only(network, 2)
    network.zero_grad()
    inputs = [preprocess([image], network.spec.preprocessing, CPU).clone() for image in images]
    expected = batch.loss(torch.cat([network(image) for image in inputs]), CONFIG)[0]
    expected.backward()
    assert loss == pytest.approx(expected.item(), abs=1e-5)
    assert float((found - flat(parameters)).norm() / found.norm()) < 1e-4


def test_out_of_memory_halves_the_images_at_once(network: PlaceNetwork, images) -> None:
    loss, expected = computed(network, TUPLES, images)
    most = 3

    def run_out(_: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        if torch.is_grad_enabled() and len(inputs[0]) > most:
            raise torch.cuda.OutOfMemoryError("out of memory")

    network.backbone.register_forward_pre_hook(run_out)
    said: list[str] = []
    again, found = computed(network, TUPLES, images, 8, said)
    assert again == pytest.approx(loss, abs=1e-6)
    assert float((found - expected).norm() / found.norm()) < 1e-4
    assert said == [f"out of memory: going on with {n} images at once, same gradients" for n in (4, 2)]
    most = 0
    with pytest.raises(NetvladError, match="too small for one image"):
        computed(network, TUPLES, images)
