"""The layers behind a backbone as other projects name their tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

_KINDS = ("weight", "bias")


@dataclass(frozen=True)
class Layer:
    """One aggregation in the projects' files.

    Attributes
    ----------
    mark : name of a tensor that no other layer has.
    names : a file's names, without prefix -> their names by ours.
    options : tensors by our names -> fields of the network's description.
    optional : names that not all files have.
    """

    mark: str
    names: Callable[[set[str]], dict[str, str]]
    options: Callable[[Mapping[str, Tensor]], dict[str, Any]]
    optional: tuple[str, ...] = ()


def _netvlad(found: set[str]) -> dict[str, str]:
    return {"centroids": "centroids", "assignment.weight": "conv.weight", "assignment.bias": "conv.bias"}


def _netvlad_options(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    centroids = tensors.get("centroids")
    clusters = len(centroids) if centroids is not None and centroids.ndim == 2 else 64
    return {"clusters": clusters, "assignment_bias": "assignment.bias" in tensors}


def _salad(found: set[str]) -> dict[str, str]:
    names = {f"token.{n}": f"token_features.{n}" for n in (0, 2)}
    # Theirs have a dropout in between.
    for ours, theirs in (("local", "cluster_features"), ("scores", "score")):
        names |= {f"{ours}.0": f"{theirs}.0", f"{ours}.2": f"{theirs}.3"}
    return {"dustbin": "dust_bin"} | _with_kinds(names)


def _salad_options(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        "settings": {
            "clusters": _length(tensors, "scores.2.bias", 64),
            "cluster_dimension": _length(tensors, "local.2.bias", 128),
            "token_dimension": _length(tensors, "token.2.bias", 256),
        }
    }


def _boq(found: set[str]) -> dict[str, str]:
    names = _with_kinds({"reduction": "proj_c", "norm": "norm_input", "mixture": "fc"})
    blocks = {name for name in found if name.startswith("boqs.")}
    return names | {f"layers.{name.removeprefix('boqs.')}": name for name in blocks}


def _boq_options(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    queries = tensors.get("layers.0.queries")
    return {
        "settings": {
            "width": _length(tensors, "norm.bias", 512),
            "queries": queries.shape[1] if queries is not None and queries.ndim == 3 else 64,
            "layers": max(1, sum(name.endswith(".queries") for name in tensors)),
            "rows": _length(tensors, "mixture.bias", 32),
        }
    }


def _mixvpr(found: set[str]) -> dict[str, str]:
    mixers = {name for name in found if name.startswith("mix.")}
    names = {f"mixers.{name.removeprefix('mix.')}": name for name in mixers}
    return names | _with_kinds({"by_channel": "channel_proj", "by_cell": "row_proj"})


def _mixvpr_options(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        "settings": {
            "cells": _length(tensors, "mixers.0.mix.0.bias", 400),
            "mixers": max(1, sum(name.endswith("mix.0.bias") for name in tensors)),
            "hidden": _length(tensors, "mixers.0.mix.1.bias", 400),
            "width": _length(tensors, "by_channel.bias", 1024),
            "rows": _length(tensors, "by_cell.bias", 4),
        }
    }


def _with_kinds(names: Mapping[str, str]) -> dict[str, str]:
    return {f"{ours}.{kind}": f"{theirs}.{kind}" for ours, theirs in names.items() for kind in _KINDS}


def _length(tensors: Mapping[str, Tensor], name: str, usual: int) -> int:
    """Entries of a tensor; what is usual if it is missing, which is told later."""
    return max(1, tensors[name].numel()) if name in tensors else usual


LAYERS = {
    "netvlad": Layer("centroids", _netvlad, _netvlad_options, ("conv.bias",)),
    "gem": Layer("p", lambda found: {"p": "p"}, lambda tensors: {}),
    "salad": Layer("dust_bin", _salad, _salad_options),
    "boq": Layer("boqs.0.queries", _boq, _boq_options),
    "mixvpr": Layer("row_proj.weight", _mixvpr, _mixvpr_options),
}
