"""Training: killed at any moment and resumed, and resumed from a state that is damaged."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import monotonic, sleep

import numpy as np

from faults.damage import changed_text, damaged
from faults.runs import ROOT, SECONDS, catalogue, ended
from faults.trial import Bad, Fault
from netvlad_core.model.backbones import PACKAGED_NETWORK

_CONFIG = """database = ["{drive}"]
weights = "packaged"
trainable = "head"
time_exclusion = 0
negative_radius = 15
negatives = 3
random_negatives = 10
cache_interval = 8
checkpoint_steps = 2
epochs = 1
workers = 1
device = "cpu"
"""
_RESULTS = ("best.safetensors", "last.safetensors", "metrics.csv")


def trainings(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """A run killed once or twice at random moments, then resumed to its end: the same network and table."""
    config = folder / "run.toml"
    config.write_text(_CONFIG.format(drive=catalogue(folder / "drive")))
    started = monotonic()
    ended(_train(config, folder / "whole"))
    whole = monotonic() - started
    for number in range(max(1, round(10 * share))):
        moments = rng.uniform(0.1, 1.0, int(rng.integers(1, 3))).round(3).tolist()
        yield Fault(
            f"killed after {moments} of a whole run",
            partial(_killed, config, folder / f"run{number}", [whole * part for part in moments]),
            SECONDS,
        )


def _train(config: Path, output: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "netvlad_core", "train", "--config", str(config), "--quiet"]
    command += ["--output", str(output), *["--resume"] * (output / "state.pt").exists()]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _killed(config: Path, output: Path, moments: list[float]) -> None:
    for moment in moments:
        process = _train(config, output)
        sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    process = _train(config, output)
    said = ended(process)
    if process.returncode != 0:
        raise Bad(f"loss: the run cannot go on: {said}")
    for name in _RESULTS:
        if (output / name).read_bytes() != (output.parent / "whole" / name).read_bytes():
            raise Bad(f"silent: another {name}")
    if left := [item.name for item in (*output.glob(".*"), *output.parent.glob(f".{output.name}*"))]:
        raise Bad(f"growth: {', '.join(left)} stays")


def states(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """Damage to the state that a run is resumed from."""
    import torch

    from netvlad_core.model.checkpoints import load_checkpoint
    from netvlad_core.training.config import TrainingConfig
    from netvlad_core.training.state import Learning, RunState, load_state, save_state

    def learning() -> Learning:
        network = load_checkpoint(PACKAGED_NETWORK)
        optimizer = torch.optim.SGD(network.netvlad.parameters(), 0.1, momentum=0.9)
        return Learning(network, optimizer, torch.amp.GradScaler("cuda", enabled=False))

    config, path, learned = TrainingConfig(), folder / "state.pt", learning()
    for weight in learned.network.netvlad.parameters():
        weight.grad = torch.ones_like(weight)
    learned.optimizer.step()
    save_state(path, config, "data", RunState(step=3, log_rows=3), learned)
    content, expected = path.read_bytes(), _numbers(learned)

    def resumed(data: bytes) -> None:
        path.write_bytes(data)
        found = learning()
        progress = load_state(path, config, "data", found, views=10, queries=10)
        if progress != RunState(step=3, log_rows=3) or _numbers(found) != expected:
            raise Bad("silent: another run goes on")

    yield Fault("the state as it was written", partial(resumed, content))
    for what, data in damaged(content, rng, round(150 * share)):
        yield Fault(f"state.pt, {what}", partial(resumed, data))


def _numbers(learned: object) -> list[bytes]:
    """All weights, and what the optimizer remembers of them."""
    from netvlad_core.training.state import Learning

    assert isinstance(learned, Learning)
    weights = list(learned.network.state_dict().values())
    remembered = [value["momentum_buffer"] for value in learned.optimizer.state.values()]
    return [tensor.numpy().tobytes() for tensor in (*weights, *remembered)]


def tables(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """Damage to the table of a run that goes on: it is said, and what is whole of the table stays."""
    from netvlad_core.training.metrics import Metrics

    whole = Metrics(folder, 0, "", print)
    for step in range(1, 21):
        whole.add({"step": step, "epoch": 1, "loss": 1 / step, "learning_rate": 1e-3})
        whole.add({"step": step, "epoch": 1, "recall@5": step / 20})
    path = folder / "metrics.csv"
    content = path.read_bytes()

    def continued(data: bytes) -> None:
        path.write_bytes(data)
        said: list[str] = []
        table = Metrics(folder, whole.rows, whole.checksum, said.append)
        kept = path.read_bytes()
        if kept != content and not any(str(path) in line for line in said):
            raise Bad("silent: another table goes on")
        table.add({"step": 21, "epoch": 2, "loss": 0.1})
        table.draw()

    yield Fault("the table as it was written", partial(continued, content))
    for what, data in damaged(content, rng, round(40 * share)):
        yield Fault(f"metrics.csv, {what}", partial(continued, data))
    for what, text in changed_text(content.decode(), rng, round(40 * share)):
        yield Fault(f"metrics.csv, {what}", partial(continued, text.encode(errors="surrogatepass")))
