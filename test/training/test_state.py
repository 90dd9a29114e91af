"""A run that is killed (SIGKILL) and resumed ends like one that is not, to the byte; damage is refused."""

from __future__ import annotations

import copy
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from netvlad_core.errors import CheckpointError, NetvladError
from netvlad_core.model.checkpoints import load_checkpoint, save_checkpoint
from netvlad_core.training.config import TrainingConfig
from netvlad_core.training.run import train
from netvlad_core.training.state import Learning, RunState, load_state, save_state
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


# --- A state by itself --------------------------------------------------------------------------------------

_CONFIG = TrainingConfig(negatives=2, hard_negatives=3)
_VIEWS, _QUERIES = 10, 4


def learning(tiny: Path) -> Learning:
    network = load_checkpoint(tiny)
    optimizer = torch.optim.SGD(network.netvlad.parameters(), 0.01, momentum=0.9)
    return Learning(network, optimizer, torch.amp.GradScaler("cpu", enabled=False))


@pytest.fixture
def state(tiny: Path, tmp_path: Path) -> Path:
    """A state in the middle of a run, after a step of the optimizer."""
    parts = learning(tiny)
    parts.network(torch.rand(1, 3, 64, 64)).sum().backward()
    parts.optimizer.step()
    rows = torch.arange(8).view(2, 4), torch.arange(12).view(4, 3) % _VIEWS
    progress = RunState(epoch=1, step=5, tuples=rows[0], hardest=rows[1], best_recall=0.5, broken=[3])
    save_state(tmp_path / "state.pt", _CONFIG, "drive", progress, parts)
    return tmp_path / "state.pt"


def resume(path: Path, tiny: Path) -> tuple[RunState, Learning]:
    parts = learning(tiny)
    return load_state(path, _CONFIG, "drive", parts, _VIEWS, _QUERIES), parts


def test_state_comes_back(state: Path, tiny: Path) -> None:
    progress, parts = resume(state, tiny)
    assert (progress.epoch, progress.step, progress.best_recall, progress.broken) == (1, 5, 0.5, [3])
    assert progress.tuples is not None
    assert progress.tuples.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    kept = parts.state()
    assert len(kept["optimizer"]["state"]) == 2
    assert not torch.equal(kept["network"]["netvlad.centroids"], load_checkpoint(tiny).netvlad.centroids)


def test_flipped_bits_and_cuts_are_refused(state: Path, tiny: Path) -> None:
    content = state.read_bytes()
    first = content.index(load_checkpoint(tiny).backbone.state_dict()["_conv_stem.weight"].numpy().tobytes())
    for place in (first, first + 3, len(content) // 2, content.index(b"hardest")):
        flipped = bytearray(content)
        flipped[place] ^= 16
        for damaged in (bytes(flipped), content[:place]):
            state.write_bytes(damaged)
            with pytest.raises(CheckpointError, match=r"state\.pt is damaged: .*; start anew without"):
                resume(state, tiny)


def _set(*keys: Any, value: Any) -> Callable[[Any], None]:
    def change(values: Any) -> None:
        for key in keys[:-1]:
            values = values[key]
        values[keys[-1]] = value

    return change


def _without(*keys: Any) -> Callable[[Any], None]:
    def change(values: Any) -> None:
        for key in keys[:-1]:
            values = values[key]
        del values[keys[-1]]

    return change


_WEIGHT = "learned", "network", "netvlad.centroids"
_MOMENTUM = "learned", "optimizer", "state", 0
_CHANGES = [
    _without("progress"),
    _without("learned"),
    _without("config"),
    _without("progress", "tuples"),
    _without("learned", "optimizer"),
    _without("learned", "scaler"),
    _without(*_WEIGHT),
    _set("learned", value=None),
    _set("config", value=[1]),
    _set("progress", "epoch", value="1"),
    _set("progress", "step", value=-1),
    _set("progress", "step", value=True),
    _set("progress", "log_rows", value=2.0),
    _set("progress", "best_recall", value=float("nan")),
    _set("progress", "broken", value=[_VIEWS]),
    _set("progress", "broken", value=None),
    _set("progress", "tuples", value=torch.full((2, 4), _VIEWS)),
    _set("progress", "tuples", value=torch.zeros(2, 4)),
    _set("progress", "tuples", value=torch.zeros(2, 5, dtype=torch.int64)),
    _set("progress", "tuples", value=torch.zeros(1, dtype=torch.int64).expand(1 << 50, 4)),
    _set("progress", "hardest", value=torch.zeros(3, 3, dtype=torch.int64)),
    _set(*_WEIGHT, value=torch.full((8, 112), torch.nan)),
    _set(*_WEIGHT, value=torch.zeros(8, 111)),
    _set(*_WEIGHT, value="x"),
    _set(*_MOMENTUM, value=None),
    _set(*_MOMENTUM, "momentum_buffer", value=torch.zeros(8, 111)),
    _set(*_MOMENTUM, "momentum_buffer", value=torch.full((8, 112), torch.inf)),
    _set(*_MOMENTUM, "momentum_buffer", value="x"),
    _set("learned", "optimizer", "param_groups", 0, "params", value=[0]),
    _set("learned", "optimizer", "param_groups", 0, "momentum", value="much"),
    _set("learned", "scaler", value={"scale": "much"}),
]


@pytest.mark.parametrize("change", _CHANGES, ids=map(str, range(len(_CHANGES))))
def test_state_that_does_not_fit_is_one_sentence(
    change: Callable[[Any], None], state: Path, tiny: Path
) -> None:
    values = torch.load(state, weights_only=True)
    change(values)
    torch.save(values, state)
    with pytest.raises(CheckpointError, match=r"state\.pt is damaged: .*; start anew without --resume"):
        resume(state, tiny)


@contextmanager
def no_room(largest: int) -> Iterator[None]:
    """No file may grow beyond a size: what a full disk does to a writer."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_full_disk_is_one_sentence_and_the_earlier_state_stays(state: Path, tiny: Path) -> None:
    before = state.read_bytes()
    progress, parts = resume(state, tiny)
    for largest in (0, 100_000):
        with (
            no_room(largest),
            pytest.raises(NetvladError, match=r"state\.pt cannot be written: File too large; the earlier"),
        ):
            save_state(state, _CONFIG, "drive", progress, parts)
    assert state.read_bytes() == before
    assert list(state.parent.iterdir()) == [state]


def test_run_on_a_full_disk_ends_with_a_sentence_and_goes_on_later(tmp_path: Path, tiny: Path) -> None:
    config = write_drives(tmp_path, tiny, epochs=1, validation_database=(), validation_queries=())
    folder = tmp_path / "run"
    whole = train(config, tmp_path / "whole", progress=False, say=lambda _: None)
    table = (tmp_path / "whole" / "metrics.csv").stat().st_size
    for largest in (table, 10_000):  # of the state, and of the descriptors that are mined in
        with (
            no_room(largest),
            pytest.raises(NetvladError, match=r"cannot be written: File too large; .*--resume"),
        ):
            train(config, folder, (folder / "state.pt").is_file(), progress=False, say=lambda _: None)
    reached = train(config, folder, (folder / "state.pt").is_file(), progress=False, say=lambda _: None)
    assert reached.step == whole.step
    names = [(run / "last.safetensors").read_bytes() for run in (folder, tmp_path / "whole")]
    assert names[0] == names[1]


def test_what_is_no_number_is_never_written_and_ends_the_run(tmp_path: Path, tiny: Path) -> None:
    """A learning rate that is far too high."""
    config = write_drives(tmp_path, tiny, learning_rate=1e30, epochs=2)
    with pytest.raises(NetvladError, match=r"of step \d cannot be learnt from, .* lower learning_rate"):
        train(config, tmp_path / "run", progress=False, say=lambda _: None)
    best = load_checkpoint(tmp_path / "run" / "best.safetensors")
    assert best.fingerprint() == load_checkpoint(tiny).fingerprint(), "that of before the training"
    network = copy.deepcopy(best)
    network.netvlad.centroids.data[0, 0] = torch.nan
    with pytest.raises(CheckpointError, match=r"is not written, .*centroids has entries that are not finite"):
        save_checkpoint(network, tmp_path / "run" / "best.safetensors")
    assert load_checkpoint(tmp_path / "run" / "best.safetensors").fingerprint() == best.fingerprint()
