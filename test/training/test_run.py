"""Whole runs on a tiny set: they learn, and say what was wrong with the images."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.errors import NetvladError
from netvlad_core.files import sole_writer
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.model.checkpoints import load_checkpoint
from netvlad_core.training.config import TrainingConfig
from netvlad_core.training.run import train
from support.place_sets import write_gsv_cities, write_pitts
from support.training import write_drives


def test_broken_images_are_counted_and_the_run_goes_on(tmp_path: Path, tiny: Path) -> None:
    config = write_drives(tmp_path, tiny, epochs=1)
    (tmp_path / "train" / "day" / "003.png").write_bytes(b"broken")
    (tmp_path / "train" / "dusk" / "005.png").unlink()
    (tmp_path / "validation" / "dusk" / "001.png").unlink()
    with (tmp_path / "train" / "dusk" / "catalogue.csv").open("a") as file:
        file.write("far.png,5000,0,0,900\n")
    said: list[str] = []
    reached = train(config, tmp_path / "run", progress=False, say=said.append)
    assert reached.step > 2
    text = "\n".join(said)
    assert "20 database images, 13 queries; 1 more have no positive and are left out" in text
    assert "2 images could not be read (003.png, 005.png); 1 tuples" in text


@pytest.mark.parametrize(
    "options",
    [
        {"precision": "bfloat16"},
        {"optimizer": "adamw", "learning_rate": 3e-4},
        {"loss": "multi-similarity", "places_per_batch": 4, "images_per_place": 2, "learning_rate": 0.03},
    ],
)
def test_loss_gets_smaller(tmp_path: Path, tiny: Path, options: dict) -> None:
    config = write_drives(
        tmp_path, tiny, **{"epochs": 4, "learning_rate": 3e-3, "halving_epochs": 9, **options}
    )
    train(config, tmp_path / "run", progress=False, say=lambda _: None)
    sums: dict[str, float] = defaultdict(float)
    with (tmp_path / "run" / "metrics.csv").open() as file:
        for row in csv.DictReader(file):
            # The ranking loss is a mean over violating triplets, of which fewer and fewer are left.
            count = float(row["violating"] or 0) if config.loss == "triplet" else 1
            sums[row["epoch"]] += count * float(row["loss"] or 0)
    assert sums["4"] < 0.8 * sums["1"]
    trained, before = load_checkpoint(tmp_path / "run" / "last.safetensors"), load_checkpoint(tiny)
    first, first_before = next(trained.backbone.parameters()), next(before.backbone.parameters())
    assert torch.equal(first, first_before), "the first layers are frozen"


def test_one_run_at_a_time_works_in_a_folder(tmp_path: Path, tiny: Path) -> None:
    config = write_drives(tmp_path, tiny, epochs=1)
    with sole_writer(tmp_path / "run"), pytest.raises(NetvladError, match="another build of run is running"):
        train(config, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_maps_are_trained_on(tmp_path: Path, tiny: Path) -> None:
    config = write_drives(tmp_path, tiny, epochs=1)
    maps = {}
    for name, drive in (("database", config.database), ("queries", config.queries)):
        source = CatalogueSource.from_csv(drive[0])
        options = BuildOptions(weights=tiny, device="cpu", store_images="full", store_features="none")
        maps[name] = (str(build_map(source, tmp_path / name, options, progress=False).path),)
    said: list[str] = []
    reached = train(replace(config, **maps), tmp_path / "run", progress=False, say=said.append)
    assert said[0].startswith("20 database images, 13 queries; 0 more")
    assert reached.step > 2


def test_collections_are_read_in_their_own_formats(tmp_path: Path, tiny: Path) -> None:
    """Labels without queries to train on, positions and queries to validate on."""
    write_gsv_cities(tmp_path / "gsv")
    pitts = write_pitts(tmp_path / "pitts")
    config = TrainingConfig(
        collection=str(tmp_path / "gsv"),
        validation_collection=str(pitts),
        correct_radius=10.0,
        weights=str(tiny),
        loss="multi-similarity",
        epochs=1,
        device="cpu",
    )
    said: list[str] = []
    reached = train(config, tmp_path / "run", progress=False, say=said.append)
    assert said[0].startswith("8 database images, 8 queries; 0 more")
    assert said[1] == "validation: Recall@N of all 2 queries"
    assert reached.step == 1
    with (tmp_path / "run" / "metrics.csv").open() as file:
        untrained, step, trained = csv.DictReader(file)
    assert step["tuples"] == "8", "images of four places"
    assert untrained["recall@10"] == trained["recall@10"] == "0.5", "one query has no correct answer"
