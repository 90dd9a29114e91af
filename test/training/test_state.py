"""A run that is killed (SIGKILL) and resumed ends with the same bytes as one that is not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from netvlad_core.errors import CheckpointError, NetvladError
from netvlad_core.training.config import TrainingConfig
from netvlad_core.training.run import train
from support.training import write_drives

_PROGRAM = Path(__file__).parents[1] / "support" / "killed_runs.py"
_RESULTS = ("last.safetensors", "best.safetensors", "metrics.csv")


@pytest.mark.parametrize(("optimizer", "step"), [("sgd", 3), ("adamw", 6)])
def test_killed_run_ends_like_a_whole_one(optimizer: str, step: int, tmp_path: Path, tiny: Path) -> None:
    """Killed at a step, while the cache is refreshed and while the state is written."""
    options = {"photometric": 0.5, "perspective": 0.05, "margin": 1.0, "random_negatives": 4}
    config = write_drives(tmp_path, tiny, optimizer=optimizer, **options)
    (tmp_path / "config.json").write_text(json.dumps(vars(config)))
    kills = [f"step {step}", "write 40", "fsync 4"]
    subprocess.run([sys.executable, str(_PROGRAM), str(tmp_path), *kills], check=True, timeout=300)
    for name in _RESULTS:
        whole, parts = ((tmp_path / run / name).read_bytes() for run in ("whole", "parts"))
        assert whole == parts, f"{name} of the run killed at {', '.join(kills)}"
    assert (tmp_path / "whole" / "last.safetensors").read_bytes() != tiny.read_bytes()


def test_state_is_of_one_run(tmp_path: Path, tiny: Path) -> None:
    config = write_drives(tmp_path, tiny, epochs=1, validation_database=(), validation_queries=())
    folder = tmp_path / "run"
    with pytest.raises(CheckpointError, match="nothing to resume"):
        train(config, folder, resume=True, progress=False)
    train(config, folder, progress=False)
    with pytest.raises(NetvladError, match="--resume goes on"):
        train(config, folder, progress=False)
    other = TrainingConfig(**{**vars(config), "margin": 0.25})
    with pytest.raises(CheckpointError, match=r"margin was 0\.3, is 0\.25"):
        train(other, folder, resume=True, progress=False)
    catalogue = Path(config.database[0])
    text = catalogue.read_text()
    catalogue.write_text(text.replace(",95.0,", ",96.0,"))
    with pytest.raises(CheckpointError, match="other images or positions"):
        train(config, folder, resume=True, progress=False)
    catalogue.write_text(text)
    longer = TrainingConfig(**{**vars(config), "epochs": 2})
    assert train(longer, folder, resume=True, progress=False).epoch == 2
    (folder / "state.pt").write_bytes((folder / "state.pt").read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged"):
        train(longer, folder, resume=True, progress=False)
