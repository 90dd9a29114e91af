"""Two processes under torchrun learn what one does."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from netvlad_core.training.run import train
from support.training import write_drives

_ROOT = Path(__file__).resolve().parents[2]


def read(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open() as file:
        return [{name: float(value or "nan") for name, value in row.items()} for row in csv.DictReader(file)]


@pytest.mark.parametrize("loss", ["triplet", "multi-similarity"])
def test_two_processes_learn_what_one_does(tmp_path: Path, tiny: Path, loss: str) -> None:
    options = {"loss": loss, "places_per_batch": 3, "learning_rate": 1e-3, "photometric": 0.3}
    config = write_drives(tmp_path, tiny, epochs=1, **options)
    (tmp_path / "train" / "dusk" / "004.png").write_bytes(b"broken")
    lines = [f"{name} = {list(v) if isinstance(v, tuple) else v!r}" for name, v in vars(config).items()]
    (tmp_path / "two.toml").write_text("\n".join(lines))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["-m", "netvlad_core", "train", "--config", str(tmp_path / "two.toml"), "--quiet"]
    ended = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert "2 processes" in ended.stdout
    assert ended.stdout.count("database images") == 1, "only one of them talks"
    said: list[str] = []
    train(config, tmp_path / "one", progress=False, say=said.append)
    one, two = read(tmp_path / "one"), read(tmp_path / "two")
    assert len(one) == len(two) > 3
    for row, other in zip(one, two):
        assert row == pytest.approx(other, abs=1e-5, nan_ok=True)
    assert one[1]["loss"] > 0
    broken = "1 images could not be read (004.png)"
    assert broken in ended.stdout
    assert any(line.startswith(broken) for line in said)
