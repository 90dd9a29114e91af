"""What `benchmarks._peer` must know of a project to run its code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

Describe = Callable[[np.ndarray], np.ndarray]  # image (H, W, 3) uint8 RGB -> descriptor (D,)
_WEIGHTS = Path("weights.pth")


@dataclass(frozen=True)
class Project:
    """How to use the code of a project; the current folder is where its weights lie.

    Attributes
    ----------
    write : write random weights in the project's own format, to the path that it returns.
    read : open them as the project does.
    unused : modules that the project imports and does not use to describe an image.
    """

    write: Callable[[Mapping[str, Any]], Path]
    read: Callable[[Mapping[str, Any], str], Describe]
    unused: tuple[str, ...] = ()


def save(key: str, state: Mapping[str, Tensor], **beside: Any) -> Path:
    """Write a state dict into the current folder, below a key or, without one, bare."""
    torch.save({key: state, **beside} if key else dict(state), _WEIGHTS)
    return _WEIGHTS


def load(model: Any, key: str, device: str) -> Any:
    """Read it back into a model of the project, ready to describe."""
    content = torch.load(_WEIGHTS, map_location="cpu")
    model.load_state_dict(content[key] if key else content)
    return model.eval().to(device)
