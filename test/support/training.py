"""Small sets to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from netvlad_core.data.frames import Frame
from netvlad_core.training.config import TrainingConfig
from netvlad_core.training.views import Views
from support.street import street, write_catalogue


def still_views(
    positions: np.ndarray, headings: np.ndarray | None = None, labels: list[str] | None = None
) -> Views:
    """Grey images at positions (N, 2), a second apart on one drive."""
    count = len(positions)
    return Views(
        [Frame(f"{i}.png", i, None, lambda: np.zeros((32, 32, 3), np.uint8)) for i in range(count)],
        np.column_stack([positions, np.zeros(count)]).astype(float),
        np.zeros(count) if headings is None else headings,
        np.arange(count) * 10**9,
        np.zeros(count, np.int64),
        None if labels is None else np.array(labels),
    )


def write_drives(folder: Path, checkpoint: Path, **options: Any) -> TrainingConfig:
    """Two drives along a street, the second in dim light, and options that train on them in seconds.

    One street is for training, another for validation.
    """
    for part, seed in (("train", 1), ("validation", 2)):
        fronts = street(seed=seed, metres=100)
        write_catalogue(folder / part / "day", fronts, range(0, 100, 5))
        write_catalogue(folder / part / "dusk", fronts, range(2, 100, 8), gain=0.2)
    paths = {
        "database": "train/day",
        "queries": "train/dusk",
        "validation_database": "validation/day",
        "validation_queries": "validation/dusk",
    }
    defaults: dict[str, Any] = {
        **{name: (str(folder / path / "catalogue.csv"),) for name, path in paths.items()},
        "weights": str(checkpoint),
        "epochs": 2,
        "batch_size": 2,
        "negatives": 3,
        "margin": 0.3,
        "cache_interval": 5,
        "halving_epochs": 1,
        "checkpoint_steps": 2,
        "workers": 1,
        "device": "cpu",
    }
    return TrainingConfig(**{**defaults, **options})
