"""Which part of a network learns."""

from __future__ import annotations

from torch import nn

from netvlad_core.errors import NetvladError
from netvlad_core.model.network import PlaceNetwork


def train_only(network: PlaceNetwork, trainable: str | int) -> list[nn.Parameter]:
    """Let a part of the network learn and freeze the rest.

    Parameters
    ----------
    trainable : "head" (all behind the backbone), "all", or the number of last blocks of the
        backbone that learn with the head. With VGG16, 3 is the paper's "from conv5_1 up".

    Raises
    ------
    NetvladError
        If the backbone has fewer blocks.
    """
    network.requires_grad_(trainable == "all")
    network.netvlad.requires_grad_(True)
    network.whitening.requires_grad_(True)
    if isinstance(trainable, int) and trainable:
        found = blocks(network.backbone)
        if trainable > len(found):
            raise NetvladError(
                f"trainable is {trainable}, but the backbone {network.spec.backbone} has {len(found)} blocks"
            )
        for block in found[-trainable:]:
            block.requires_grad_(True)
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def blocks(module: nn.Module) -> list[nn.Module]:
    """Parts with weights, in their order: what plain sequences contain, in which sequences are opened."""
    found: list[nn.Module] = []
    for part in module.children():
        if type(part) in (nn.Sequential, nn.ModuleList):
            found += blocks(part)
        elif any(True for _ in part.parameters()):
            found.append(part)
    return found
