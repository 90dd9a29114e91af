"""Networks and training states: damaged files, and pickles that want to run a program."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from faults.damage import damaged
from faults.inputs import scene
from faults.trial import Bad, Fault
from netvlad_core.errors import NetvladError
from netvlad_core.model.backbones import PACKAGED_NETWORK
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.open_engine import variant_path

_MOST_DIFFERENCE = 1e-6  # of an entry of the descriptor


def networks(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """The package's network, damaged as a checkpoint (run by torch) and as an ONNX file (run by OpenVINO)."""
    image = scene(240, 320)
    for file, engine in ((PACKAGED_NETWORK, "torch"), (variant_path(PACKAGED_NETWORK, "float32"), "auto")):
        expected = Extractor.load(file, "cpu", engine=engine)(image)[0]
        for number, (what, data) in enumerate(damaged(file.read_bytes(), rng, round(100 * share))):
            path = folder / f"{number}{file.suffix}"
            yield Fault(f"{file.name}, {what}", partial(_described, path, data, engine, image, expected))


def _described(path: Path, data: bytes, engine: str, image: np.ndarray, expected: np.ndarray) -> None:
    path.write_bytes(data)
    try:
        descriptor = Extractor.load(path, "cpu", engine=engine)(image)[0]
    finally:
        path.unlink()
    if not np.abs(descriptor - expected).max() <= _MOST_DIFFERENCE:
        raise Bad(f"silent: another network runs: similarity {descriptor @ expected:.4f}")


class _Program:
    """What a pickle may ask for: make a file."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._asked = function, arguments

    def __reduce__(self) -> tuple[Any, Any]:
        return self._asked


def pickles(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """Files of torch.save that run a program when they are loaded, or take memory without end."""
    from netvlad_core.model.checkpoints import load_checkpoint
    from netvlad_core.model.torch_files import read_state, read_torch_file

    canary = folder / "canary"
    programs = {
        "os.system": _Program(os.system, f"touch {canary}"),
        "open": _Program(open, str(canary), "w"),
        "exec": _Program(exec, f"open({str(canary)!r}, 'w')"),
        "subprocess": _Program(subprocess.call, ["touch", str(canary)]),
        "eval in a list": [1, {"weights": _Program(eval, f"open({str(canary)!r}, 'w')")}],
        "getattr": _Program(getattr, "x", "upper"),
        "bytes without end": _Program(bytearray, 1 << 40),
    }
    readers = {
        "state of a training": read_torch_file,
        "checkpoint": load_checkpoint,
        "foreign weights": read_state,
    }
    for name, program in programs.items():
        for form in ("zip", "bare", "zip in a zip"):
            for reader, read in readers.items():
                trial = partial(_unpickled, folder / "network.pth", program, form, read, canary)
                yield Fault(f"{reader} by {name}, {form}", trial)
    nested = b"\x80\x02" + b"]" * 1_000_000 + b"a" * 999_999 + b"."
    yield Fault(
        "a million lists in lists",
        partial(_unpickled, folder / "n.pth", nested, "zip", read_torch_file, canary),
    )


def _unpickled(path: Path, program: Any, form: str, read: Any, canary: Path) -> None:
    data = program if isinstance(program, bytes) else pickle.dumps(program, protocol=2)
    if form == "bare":
        path.write_bytes(data)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", data)
            archive.writestr("archive/version", "3\n")
            archive.writestr("archive/byteorder", "little")
    if form == "zip in a zip":
        inner = path.rename(path.with_suffix(".inner"))
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(inner, "archive/data.pkl")
    try:
        read(path)
        raise Bad("silent: it counts as a file of weights")
    except NetvladError:
        if canary.exists():
            canary.unlink()
            raise Bad("executed: the program in the file has run") from None
        raise


def onnx_of_others(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """The ONNX file of the package under a name and a size that it does not have."""
    file = variant_path(PACKAGED_NETWORK, "float32")
    image = scene(240, 320)
    expected = Extractor.load(file, "cpu")(image)[0]
    content = file.read_bytes()
    for name, data in (
        ("twice", content + content),
        ("empty", b""),
        ("text", b"network\n"),
        ("zeros", bytes(4096)),
    ):
        yield Fault(f"ONNX, {name}", partial(_described, folder / "x.onnx", data, "auto", image, expected))
    shutil.copy(PACKAGED_NETWORK, folder / "safetensors.onnx")
    checkpoint = PACKAGED_NETWORK.read_bytes()
    yield Fault(
        "a checkpoint named ONNX", partial(_described, folder / "y.onnx", checkpoint, "auto", image, expected)
    )
