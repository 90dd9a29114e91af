"""Files of PyTorch are read as plain tensors, or refused by name."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch

from netvlad_core.errors import CheckpointError
from netvlad_core.model.checkpoints import load_pretrained


def test_value_that_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="holds no state dict of named tensors"):
        load_pretrained("resnet18", tmp_path / "list.pth")


class _Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.victim}",)


@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_hostile_pickle_does_not_run(save, tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "w.pth"
    pickle.loads(pickle.dumps(_Hostile(victim)))
    assert victim.exists(), "the attack of this test does not work at all"
    victim.unlink()
    save({"conv1.weight": _Hostile(victim)}, path)
    with pytest.raises(CheckpointError, match=r"w\.pth (asks to run posix.system|is no readable)"):
        load_pretrained("resnet18", path)
    assert not victim.exists()


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.999])
def test_truncated_file_is_refused(kept: float, resnet_file: Path, tmp_path: Path) -> None:
    content = resnet_file.read_bytes()
    path = tmp_path / "cut.pth"
    path.write_bytes(content[: int(kept if kept > 1 else kept * len(content))])
    with pytest.raises(CheckpointError, match=r"cut\.pth"):
        load_pretrained("resnet18", path)
