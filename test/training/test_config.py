"""Options of a training run: read, checked, documented."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from netvlad_core.errors import NetvladError
from netvlad_core.training.config import TrainingConfig


def written(folder: Path, text: str) -> Path:
    path = folder / "train.toml"
    path.write_text(text)
    return path


def test_file_sets_options_and_paths_are_relative_to_it(tmp_path: Path) -> None:
    text = 'database = ["monday", "/data/b.csv"]\nmargin = 1\ntrainable = "head"\nweights = "w.safetensors"'
    config = TrainingConfig.from_toml(written(tmp_path, text))
    assert config.database == (str(tmp_path / "monday"), "/data/b.csv")
    assert config.weights == str(tmp_path / "w.safetensors")
    assert (config.margin, config.trainable, config.queries) == (1.0, "head", ())
    assert config.backbone_weights == ""
    named = TrainingConfig.from_toml(written(tmp_path, 'backbone_weights = "imagenet"\nweights = "packaged"'))
    assert (named.backbone_weights, named.weights) == ("imagenet", "packaged")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("device = 1", ["device", "1", "a text"]),
        ("trainable = true", ["trainable", "True", "a number of blocks"]),
        ('queries = ["a", 1]', ["queries", "1", "a list of paths"]),
        ("learning_rat = 1", ["'learning_rat'", "'learning_rate'"]),
        ("epochs = 1.5", ["epochs", "1.5", "a whole number from 1"]),
        ("epochs = true", ["epochs", "True", "a whole number from 1"]),
        ("epochs = 0", ["epochs", "0", "from 1"]),
        ("margin = -0.1", ["margin", "-0.1"]),
        ("margin = nan", ["margin", "nan"]),
        ('loss = "contrastive"', ["contrastive", "triplet, multi-similarity"]),
        ('trainable = "some"', ["trainable", "some", '"head"']),
        ('database = "one"', ["database", "a list of paths"]),
        ("negative_radius = 5.0", ["negative_radius", "positive_radius 10"]),
        ('collection = "msls"\ndatabase = ["day"]', ["collection", "no database beside it"]),
        ("epochs", ["cannot read", "train.toml"]),
        ("epochs = " + "9" * 5000, ["cannot read"]),
        ("epochs = " + "9" * 400, ["epochs", "a whole number from 1"]),
        ("epochs = 0x" + "f" * 5000, ["epochs", "a number of very many digits"]),
        ("margin = " + "9" * 400, ["margin", "a number from 0"]),
        ("database = " + "[" * 3000, ["cannot read"]),
        ("database = [0x" + "f" * 5000 + "]", ["database", "a list of paths"]),
        ('weights = "~no-such-user/w.safetensors"', ["there is no user no-such-user"]),
        ('queries = ["~no-such-user/drive"]', ["there is no user no-such-user"]),
        ('weights = "\\u0000"', ["name of a file"]),
    ],
)
def test_mistake_is_named(text: str, words: list[str], tmp_path: Path) -> None:
    with pytest.raises(NetvladError) as caught:
        TrainingConfig.from_toml(written(tmp_path, text))
    assert all(word in str(caught.value) for word in ["train.toml", *words])


def test_every_option_is_documented_with_its_default() -> None:
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    table = re.findall(r"^\| `(\w+)` \| `(.*)` \|", page, re.MULTILINE)
    defaults = {field.name: field.default for field in fields(TrainingConfig)}
    listed = {name: list(value) if isinstance(value, tuple) else value for name, value in defaults.items()}
    assert {name: json.loads(text) for name, text in table} == listed
