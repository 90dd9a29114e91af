"""Every number of a training run in one place, and the TOML file that sets them."""

from __future__ import annotations

import difflib
import sys
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from netvlad_core.data.radii import CORRECT_WITHIN, NEGATIVE_BEYOND, POSITIVE_WITHIN
from netvlad_core.errors import NetvladError
from netvlad_core.files import read_file, user_path
from netvlad_core.model.backbones import DEFAULT_BACKBONE
from netvlad_core.model.spec import TORCH_PRECISIONS
from netvlad_core.settings import MOST_SETTINGS, setting, settings_of, shown

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_PATHS = ("weights", "backbone_weights", "collection", "validation_collection")
_NO_PATHS = ("", "imagenet", "packaged")  # what may stand in place of one
_LISTS_OF_PATHS = ("database", "queries", "validation_database", "validation_queries")


@dataclass(frozen=True)
class TrainingConfig:
    """Options of a training run; defaults are the recipe of the NetVLAD paper.

    Attributes
    ----------
    database, queries : sources of images with poses (bags, maps, catalogues, folders), all in one coordinate
        frame; without queries each image of the database is a query for the others.
    validation_database, validation_queries : the same for other places; without them nothing is validated.
    trainable : "head", "all", or the number of last blocks of the backbone that learn with the head.
    """

    database: tuple[str, ...] = ()
    queries: tuple[str, ...] = ()
    validation_database: tuple[str, ...] = ()
    validation_queries: tuple[str, ...] = ()
    collection: str = setting("", "Set of a known format (docs/datasets.md), instead of a database.")
    split: str = setting("", "Part of the collection; empty: the only one.")
    validation_collection: str = setting("", "Collection to validate on, instead of validation_database.")
    validation_split: str = setting("", "Part of it.")
    image_topic: str = setting("", "Image topic of bags; empty: the only one.")
    pose_topic: str = setting("", "Pose topic of bags; empty: the only one.")
    weights: str = setting("", "Checkpoint to begin with, or packaged; empty: clusters are fitted.")
    backbone: str = setting(DEFAULT_BACKBONE, "Backbone of the network that is fitted.")
    backbone_weights: str = setting("", "File with its weights, or imagenet; empty: the package's own.")
    aggregation: str = setting("netvlad", "Its aggregation: netvlad, hard_vlad, gem or class_token.")
    clusters: int = setting(64, "Clusters of the network that is fitted.", 2)
    positive_radius: float = setting(POSITIVE_WITHIN, "Metres; a nearer image may be a positive.", 0)
    min_distance: float = setting(1.0, "Metres; a positive is farther than this.", 0)
    heading_limit: float = setting(180.0, "Degrees between query and positive; 180: no limit.", 0, 180)
    negative_radius: float = setting(NEGATIVE_BEYOND, "Metres beyond which an image is a negative.", 0)
    time_exclusion: float = setting(30.0, "Seconds; nearer images of one drive are no positives.", 0)
    correct_radius: float = setting(CORRECT_WITHIN, "Metres within which an answer is correct.", 0)
    loss: str = setting("triplet", "For tuples, or for places.", choices=("triplet", "multi-similarity"))
    margin: float = setting(0.1, "Margin of the triplet loss, in squared distance.", 0)
    negatives: int = setting(10, "Most violating negatives of a tuple, hardest first.", 1)
    random_negatives: int = setting(1000, "Negatives sampled for each query at each mining.", 0)
    hard_negatives: int = setting(10, "Negatives of the last mining that are looked at again.", 0)
    ms_alpha: float = setting(1.0, "Weight of positive pairs in the multi-similarity loss.", 0)
    ms_beta: float = setting(50.0, "Weight of its negative pairs.", 0)
    ms_base: float = setting(0.0, "Similarity around which both turn.", 0)
    ms_epsilon: float = setting(0.1, "Slack of its mining, in similarity.", 0)
    places_per_batch: int = setting(100, "Places of a batch of the multi-similarity loss.", 2)
    images_per_place: int = setting(4, "Images of each of them.", 2)
    epochs: int = setting(30, "Passes over the queries or places.", 1)
    batch_size: int = setting(4, "Tuples of a step, over all processes.", 1)
    images_at_once: int = setting(0, "Images with gradients in memory at once, per process; 0: all.", 0)
    optimizer: str = setting("sgd", "Stochastic gradient descent or AdamW.", choices=("sgd", "adamw"))
    learning_rate: float = setting(1e-4, "Learning rate of the optimizer.", 0)
    momentum: float = setting(0.9, "Momentum of stochastic gradient descent.", 0, 1)
    weight_decay: float = setting(1e-3, "Weight decay of the optimizer.", 0)
    halving_epochs: int = setting(5, "Epochs after which the rate halves and the cache interval doubles.", 1)
    cache_interval: int = setting(1000, "Queries between refreshes of the descriptor cache.", 1)
    cache_type: str = setting("float32", "Type of cached descriptors.", choices=("float32", "float16"))
    trainable: str | int = 3
    precision: str = setting("float32", "Precision of the backbone.", choices=TORCH_PRECISIONS)
    photometric: float = setting(0.0, "Strength of random light and colour.", 0, 1)
    perspective: float = setting(0.0, "Most that corners move, as a share of the sides.", 0, 0.4)
    patience: int = setting(0, "Epochs without a better Recall@5 before training ends; 0: never.", 0)
    checkpoint_steps: int = setting(100, "Steps between checkpoints to resume from.", 1)
    workers: int = setting(2, "Threads that read images, in each process.", 1)
    seed: int = setting(0, "Seed of everything random.", 0)
    device: str = setting("auto", "auto (CUDA if there is one), cpu, cuda, cuda:1.")

    def __post_init__(self) -> None:
        for name, declared in settings_of(TrainingConfig).items():
            declared.check(getattr(self, name))
        for name in _LISTS_OF_PATHS:
            value = getattr(self, name)
            is_list = isinstance(value, tuple) and all(isinstance(part, str) for part in value)
            _expect(is_list, name, value, "a list of paths")
        is_count = type(self.trainable) is int and self.trainable >= 0
        expected = 'one of "head", "all" and a number of blocks'
        _expect(is_count or self.trainable in ("head", "all"), "trainable", self.trainable, expected)
        for prefix in ("", "validation_"):
            collection, database = (getattr(self, prefix + name) for name in ("collection", "database"))
            expected = f"no {prefix}database beside it"
            _expect(not (collection and database), f"{prefix}collection", collection, expected)
        expected = f"at least the positive_radius {self.positive_radius}"
        is_wider = self.positive_radius <= self.negative_radius
        _expect(is_wider, "negative_radius", self.negative_radius, expected)

    @classmethod
    def from_toml(cls, path: Path) -> TrainingConfig:
        """Read a file; its relative paths are relative to it.

        Raises
        ------
        NetvladError
            If the file is missing or no TOML, or a key is unknown, or a value of another type or range.
        """
        try:
            values = tomllib.loads(read_file(path, MOST_SETTINGS).decode())
        # Beside its own errors: no text, a number of very many digits, arrays nested very deeply.
        except (OSError, ValueError, RecursionError) as error:
            raise NetvladError(f"cannot read the configuration {path}: {error}") from error
        defaults = {field.name: field.default for field in fields(cls)}
        base = path.absolute().parent
        for key, value in values.items():
            if key not in defaults:
                near = difflib.get_close_matches(key, defaults, 1, cutoff=0.0)[0]
                raise NetvladError(f"{path}: unknown option {key!r}; the nearest known one is {near!r}")
            if isinstance(defaults[key], float) and type(value) is int:
                with suppress(OverflowError):
                    values[key] = float(value)
            elif isinstance(value, list):
                values[key] = tuple(value)

        def absolute(text: str) -> str:
            return str(base / user_path(text))

        try:
            config = cls(**values)
            texts = {name: getattr(config, name) for name in _PATHS}
            found: dict[str, Any] = {name: absolute(t) for name, t in texts.items() if t not in _NO_PATHS}
            found |= {name: tuple(map(absolute, getattr(config, name))) for name in _LISTS_OF_PATHS}
        except NetvladError as error:
            raise NetvladError(f"{path}: {error}") from error
        return replace(config, **found)


def _expect(is_right: bool, key: str, value: Any, expected: str) -> None:
    if not is_right:
        raise NetvladError(f"{key} is {shown(value)}; expected {expected}")
