"""What makes one descriptor of a feature map, in one table, which a machine without torch can read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netvlad_core.errors import CheckpointError

if TYPE_CHECKING:
    from torch import nn

Options = Mapping[str, int]  # numbers and switches, by name


@dataclass(frozen=True)
class Aggregation:
    """One entry of the table.

    Attributes
    ----------
    dimension : channels of the feature map, and options -> entries of the descriptor.
    build : the same -> a module with random weights. It takes feature maps (B, D, h, w), or a pair with the
        image's token (B, D), and gives (B, dimension).
    has_clusters : whether its clusters are fitted by k-means over local descriptors.
    takes_token : whether it needs a backbone with a token for the whole image.
    gives_unit_length : whether what it gives is L2-normalised.
    needs_training : whether it describes nothing before it was trained.
    has_fixed_size : whether it has weights for each cell of the map, so that images must be of one size.
    """

    dimension: Callable[[int, Options], int]
    build: Callable[[int, Options], nn.Module]
    has_clusters: bool = False
    takes_token: bool = False
    gives_unit_length: bool = True
    needs_training: bool = False
    has_fixed_size: bool = False


def _netvlad(channels: int, options: Options) -> nn.Module:
    from netvlad_core.model.netvlad import NetVLAD

    switches = (bool(options[name]) for name in ("assignment_bias", "intra_normalization"))
    return NetVLAD(options["clusters"], channels, *switches)


def _hard_vlad(channels: int, options: Options) -> nn.Module:
    from netvlad_core.model.hard_vlad import HardVLAD

    return HardVLAD(options["clusters"], channels)


def _gem(channels: int, options: Options) -> nn.Module:
    from netvlad_core.model.gem import GeM

    return GeM()


def _salad(channels: int, options: Options) -> nn.Module:
    from netvlad_core.model.salad import SALAD

    return SALAD(channels, *(options[name] for name in ("clusters", "cluster_dimension", "token_dimension")))


def _boq(channels: int, options: Options) -> nn.Module:
    from netvlad_core.model.boq import BoQ

    return BoQ(channels, *(options[name] for name in ("width", "queries", "layers", "rows")))


def _mixvpr(channels: int, options: Options) -> nn.Module:
    from netvlad_core.model.mixvpr import MixVPR

    return MixVPR(channels, *(options[name] for name in ("cells", "mixers", "hidden", "width", "rows")))


def _class_token(channels: int, options: Options) -> nn.Module:
    from netvlad_core.model.class_token import ClassToken

    return ClassToken()


def _vlad_dimension(channels: int, options: Options) -> int:
    return options["clusters"] * channels


def _salad_dimension(channels: int, options: Options) -> int:
    return options["clusters"] * options["cluster_dimension"] + options["token_dimension"]


def _reduced_dimension(channels: int, options: Options) -> int:
    return options["width"] * options["rows"]


def _channels(channels: int, options: Options) -> int:
    return channels


AGGREGATIONS: dict[str, Aggregation] = {
    "netvlad": Aggregation(_vlad_dimension, _netvlad, has_clusters=True),
    "hard_vlad": Aggregation(_vlad_dimension, _hard_vlad, has_clusters=True),
    "gem": Aggregation(_channels, _gem, gives_unit_length=False),
    "salad": Aggregation(_salad_dimension, _salad, takes_token=True, needs_training=True),
    "boq": Aggregation(_reduced_dimension, _boq, needs_training=True),
    "mixvpr": Aggregation(_reduced_dimension, _mixvpr, needs_training=True, has_fixed_size=True),
    "class_token": Aggregation(_channels, _class_token, takes_token=True, gives_unit_length=False),
}


def aggregation_named(name: str) -> Aggregation:
    """Look up the table; raises CheckpointError that lists the names."""
    if name not in AGGREGATIONS:
        raise CheckpointError(f"unknown aggregation {name!r}; there are: {', '.join(AGGREGATIONS)}")
    return AGGREGATIONS[name]
