"""Every number of a training run in one place, and the TOML file that sets them."""

from __future__ import annotations

import difflib
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from netvlad_core.data.radii import CORRECT_WITHIN, NEGATIVE_BEYOND, POSITIVE_WITHIN
from netvlad_core.errors import NetvladError
from netvlad_core.model.backbones import DEFAULT_BACKBONE
from netvlad_core.model.spec import TORCH_PRECISIONS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LOSSES = ("triplet", "multi-similarity")
CACHE_TYPES = ("float32", "float16")
OPTIMIZERS = ("sgd", "adamw")
_PATHS = ("weights", "backbone_weights", "collection", "validation_collection")
_NO_PATHS = ("imagenet", "packaged")  # what may stand in place of one
_LISTS_OF_PATHS = ("database", "queries", "validation_database", "validation_queries")


@dataclass(frozen=True)
class TrainingConfig:
    """Options of a training run; defaults are the recipe of the NetVLAD paper.

    Attributes
    ----------
    database : sources of images with poses (bags, maps, catalogues, folders), all in one coordinate frame.
    queries : likewise; none: each image of the database is a query for the others.
    validation_database, validation_queries : likewise, other places; none: nothing is validated.
    collection, split : of a known format (docs/datasets.md) and its split, instead of database and
        queries.
    validation_collection, validation_split : likewise, instead of validation_database and validation_queries.
    image_topic, pose_topic : of bags; empty: found by themselves.
    weights : checkpoint to begin with, "packaged" for that of the package; empty: clusters are fitted on the
        database.
    backbone, clusters : of the network that is fitted.
    backbone_weights : likewise: a file, "imagenet" for installed ones; empty: the package's own.
    positive_radius : m, a database image this near may be a positive.
    min_distance : m, and farther than this.
    heading_limit : degrees between the headings of query and positive; 180 is no limit.
    negative_radius : m, a database image beyond it is a negative.
    time_exclusion : s, images of one drive that are nearer in time are no positives.
    correct_radius : m, of a correct answer in validation.
    loss : "triplet" (ranking) or "multi-similarity" (over places).
    margin : of the triplet loss, in squared distance.
    negatives : hardest violating negatives of a tuple, at most.
    random_negatives : sampled for each query at each mining.
    hard_negatives : of the last mining that are looked at again.
    ms_alpha, ms_beta, ms_base, ms_epsilon : of the multi-similarity loss and its mining.
    places_per_batch, images_per_place : batches of the multi-similarity loss.
    epochs : passes over the queries or places.
    batch_size : tuples of a step, over all processes.
    images_at_once : through the network with gradients, in each process; 0: all images of a step. Less needs
        less memory and changes nothing else.
    optimizer : "sgd" (stochastic gradient descent with momentum) or "adamw".
    learning_rate, weight_decay : of the optimizer.
    momentum : of stochastic gradient descent.
    halving_epochs : the learning rate is halved, and the cache interval doubled, every so many epochs.
    cache_interval : queries between refreshes of the descriptor cache.
    cache_type : "float32" or "float16".
    trainable : "head", "all", or a number: so many last blocks of the backbone, and the head.
    precision : of the backbone's arithmetic, "float32", "bfloat16" or "float16".
    photometric : strength of random light and colour, 0 (none) to 1 (strong).
    perspective : how far the corners of an image move at random, as a share of its sides.
    patience : epochs without a better validation Recall@5 after which training ends; 0: never.
    checkpoint_steps : steps between checkpoints to resume from.
    workers : threads that read images, in each process.
    seed : of everything random.
    device : "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1".
    """

    database: tuple[str, ...] = ()
    queries: tuple[str, ...] = ()
    validation_database: tuple[str, ...] = ()
    validation_queries: tuple[str, ...] = ()
    collection: str = ""
    split: str = ""
    validation_collection: str = ""
    validation_split: str = ""
    image_topic: str = ""
    pose_topic: str = ""
    weights: str = ""
    backbone: str = DEFAULT_BACKBONE
    backbone_weights: str = ""
    clusters: int = 64
    positive_radius: float = POSITIVE_WITHIN
    min_distance: float = 1.0
    heading_limit: float = 180.0
    negative_radius: float = NEGATIVE_BEYOND
    time_exclusion: float = 30.0
    correct_radius: float = CORRECT_WITHIN
    loss: str = "triplet"
    margin: float = 0.1
    negatives: int = 10
    random_negatives: int = 1000
    hard_negatives: int = 10
    ms_alpha: float = 1.0
    ms_beta: float = 50.0
    ms_base: float = 0.0
    ms_epsilon: float = 0.1
    places_per_batch: int = 100
    images_per_place: int = 4
    epochs: int = 30
    batch_size: int = 4
    images_at_once: int = 0
    optimizer: str = "sgd"
    learning_rate: float = 1e-4
    momentum: float = 0.9
    weight_decay: float = 1e-3
    halving_epochs: int = 5
    cache_interval: int = 1000
    cache_type: str = "float32"
    trainable: str | int = 3
    precision: str = "float32"
    photometric: float = 0.0
    perspective: float = 0.0
    patience: int = 0
    checkpoint_steps: int = 100
    workers: int = 2
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        for name, choices in (
            ("loss", LOSSES),
            ("optimizer", OPTIMIZERS),
            ("precision", TORCH_PRECISIONS),
            ("cache_type", CACHE_TYPES),
        ):
            _expect(getattr(self, name) in choices, name, getattr(self, name), f"one of {', '.join(choices)}")
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, (int, float)):
                least = _LEAST.get(field.name, 0)
                _expect(least <= value < float("inf"), field.name, value, f"a number from {least}")
        for name, most in (("photometric", 1), ("perspective", 0.4), ("heading_limit", 180), ("momentum", 1)):
            _expect(getattr(self, name) <= most, name, getattr(self, name), f"at most {most}")
        is_block_count = isinstance(self.trainable, int)
        _expect(
            is_block_count or self.trainable in ("head", "all"),
            "trainable", self.trainable, 'one of "head", "all" and a number of blocks',
        )  # fmt: skip
        for prefix in ("", "validation_"):
            collection, database = (getattr(self, prefix + name) for name in ("collection", "database"))
            _expect(
                not (collection and database),
                f"{prefix}collection",
                collection,
                f"no {prefix}database beside it",
            )
        _expect(
            self.positive_radius <= self.negative_radius,
            "negative_radius", self.negative_radius, f"at least the positive_radius {self.positive_radius}",
        )  # fmt: skip

    @classmethod
    def from_toml(cls, path: Path) -> TrainingConfig:
        """Read a file; its relative paths are relative to it.

        Raises
        ------
        NetvladError
            If the file is missing or no TOML, or a key is unknown, or a value of another type or range.
        """
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise NetvladError(f"cannot read the configuration {path}: {error}") from error
        defaults = {field.name: field.default for field in fields(cls)}
        try:
            config = cls(**{key: _as_type_of(defaults, key, value) for key, value in values.items()})
        except NetvladError as error:
            raise NetvladError(f"{path}: {error}") from error
        base = path.absolute().parent
        found: dict[str, Any] = {
            name: str(base / Path(getattr(config, name)).expanduser())
            for name in _PATHS
            if getattr(config, name) not in ("", *_NO_PATHS)
        }
        for name in _LISTS_OF_PATHS:
            found[name] = tuple(str(base / Path(part).expanduser()) for part in getattr(config, name))
        return replace(config, **found)


_LEAST = dict.fromkeys(
    ("negatives", "epochs", "batch_size", "halving_epochs", "cache_interval", "checkpoint_steps", "workers"),
    1,
) | {"clusters": 2, "images_per_place": 2, "places_per_batch": 2}


def _as_type_of(defaults: dict[str, Any], key: str, value: Any) -> Any:
    if key not in defaults:
        near = difflib.get_close_matches(key, defaults, 1, cutoff=0.0)[0]
        raise NetvladError(f"unknown option {key!r}; the nearest known one is {near!r}")
    default = defaults[key]
    if isinstance(default, tuple):
        is_list = isinstance(value, list) and all(isinstance(part, str) for part in value)
        _expect(is_list, key, value, "a list of paths")
        return tuple(value)
    if isinstance(default, float) and type(value) is int:
        return float(value)
    kinds = (str, int) if key == "trainable" else (type(default),)
    _expect(type(value) in kinds, key, value, f"a value like {default!r}")
    return value


def _expect(is_right: bool, key: str, value: Any, expected: str) -> None:
    if not is_right:
        raise NetvladError(f"{key} is {value!r}; expected {expected}")
