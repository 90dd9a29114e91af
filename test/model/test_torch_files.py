"""Files of PyTorch are read as plain tensors, or refused by name."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from netvlad_core.errors import CheckpointError
from netvlad_core.model.checkpoints import load_pretrained
from netvlad_core.model.torch_files import misfits, read_torch_file


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


def write(program: bytes, path: Path, is_zip: bool) -> None:
    """A file of torch.save whose pickle is this program."""
    torch.save(0, path, _use_new_zipfile_serialization=is_zip)
    if is_zip:
        with zipfile.ZipFile(path) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in entries.items():
                archive.writestr(name, program if name.endswith("data.pkl") else content)
    else:
        path.write_bytes(path.read_bytes().replace(pickle.dumps(0, 2), program, 1))


_NESTED = 30_000
_HOLDS_ITSELF_TWICE = b"".join(b"q%ch%c\x86" % (level, level) for level in range(22))


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (b"]" * _NESTED + b"a" * (_NESTED - 1), "nested too deeply"),
        (b")" + b"\x85" * _NESTED, "nested too deeply"),
        (b"}K\x01" * _NESTED + b"}" + b"s" * _NESTED, "nested too deeply"),
        (b"(" * 2_000_000 + b"t" * 2_000_000, "nested too deeply"),
        (
            b"}K\x01" + _HOLDS_ITSELF_TWICE + b"K\x01s",
            "nested too deeply",
        ),  # hashing the key doubles 22 times
        (b"cbuiltins\nbytearray\nJ\x00\x00\x00\x10\x85R", "asks to run builtins.bytearray"),
        (b"ctorch\nFloatTensor\nJ\x00\x00\x00\x10\x85R", "asks to run torch.FloatTensor"),
    ],
    ids=["lists", "tuples", "dictionaries", "marks", "doubled", "bytes", "tensor"],
)
def test_small_file_that_takes_long_or_much_memory_is_refused(
    program: bytes, reason: str, is_zip: bool, tmp_path: Path
) -> None:
    write(b"\x80\x02" + program + b".", tmp_path / "w.pth", is_zip)
    with pytest.raises(CheckpointError, match=rf"w\.pth (is )?{reason}"):
        read_torch_file(tmp_path / "w.pth")


@pytest.mark.parametrize("is_zip", [True, False])
def test_large_training_checkpoint_is_read(is_zip: bool, tmp_path: Path) -> None:
    network = torch.nn.Sequential(*(torch.nn.Linear(2, 2) for _ in range(300)))
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    losses = [index / 7 for index in range(100_000)]
    values = {"state_dict": network.state_dict(), "optimizer": optimizer.state_dict(), "losses": losses}
    torch.save(values, tmp_path / "w.pth", _use_new_zipfile_serialization=is_zip)
    found = read_torch_file(tmp_path / "w.pth")
    assert torch.equal(found["state_dict"]["7.weight"], network[7].weight)
    assert found["losses"] == losses


def test_tensor_that_repeats_its_data_is_refused_before_it_takes_memory() -> None:
    with torch.device("meta"):
        layer = torch.nn.Linear(1 << 24, 1 << 24)
    tensors = {"weight": torch.zeros(1).expand(layer.weight.shape), "bias": torch.zeros(1 << 24)}
    wrong = misfits(layer, tensors, {"weight": "pca.weight"})
    assert wrong == "pca.weight has the shape (16777216, 16777216) and data for a part of it only"
