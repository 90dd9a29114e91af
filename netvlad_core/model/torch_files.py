"""Weights in files of `torch.save`, read without running anything that is in them."""

from __future__ import annotations

import pickletools
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn

from netvlad_core.errors import CheckpointError

_ZIP_MAGIC = b"PK\x03\x04"
_TAR_MAGIC = b"ustar"
_TAR_MAGIC_AT = 257
_MOST_NAMED = 6

# All that plain tensors, and the numbers beside them, are made of. torch allows more, arrays of any size and
# tensors without data among it, and refuses what is in neither list.
_PLAIN = re.compile(
    r"collections (OrderedDict|Counter)|(builtins|__builtin__) (set|complex)|_codecs encode|numpy[\w.]* \w+"
    r"|torch [a-z]\w*|torch(\.\w+)* (\w*Storage|Size)|torch\.nn\.parameter Parameter"
    r"|torch\._utils _rebuild_(tensor(_v[23])?|parameter(_with_state)?)|torch\.serialization _get_layout"
)
# A pickle is a program. A checkpoint of a thousand tensors costs a million; this is done within seconds.
_MOST_COST = 20_000_000
_COST_OF_STEP = 20
_PICKLES_OF_OLDER_FORMAT = 5


class _Inert:
    """Stands in for what NumPy has put into a checkpoint, recalls for one; keeps nothing of it."""

    def __new__(cls, *_: Any) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass


# Checkpoints with statistics in NumPy's types name these; without stand-ins torch refuses the whole file.
_STAND_INS: list[Any] = [
    (_Inert, name)
    for name in (
        "numpy.dtype",
        "numpy.ndarray",
        *(f"numpy.{c}.multiarray.{name}" for c in ("core", "_core") for name in ("scalar", "_reconstruct")),
    )
]


def read_state(path: Path) -> dict[str, Tensor]:
    """The named tensors of a checkpoint, whatever stands around them; `module.` of DataParallel is dropped.

    Raises CheckpointError as `read_torch_file` does, and if there are none.
    """
    return named_tensors(read_torch_file(path), path)


def named_tensors(content: object, path: Path) -> dict[str, Tensor]:
    """Those of `read_state`, in the content of the file `path`."""
    if isinstance(content, Mapping):
        inner = (content.get(key) for key in ("state_dict", "model_state_dict"))
        content = next((value for value in inner if isinstance(value, Mapping)), content)
    state = {
        ".".join(part for part in key.split(".") if part != "module"): value
        for key, value in (content.items() if isinstance(content, Mapping) else ())
        if isinstance(key, str) and isinstance(value, Tensor)
    }
    if not state:
        raise CheckpointError(f"{path} holds no state dict of named tensors")
    return state


def misfits(
    module: nn.Module, tensors: Mapping[str, Tensor], names: Mapping[str, str], unused: tuple[str, ...] = ()
) -> str:
    """Say which tensors, by their names in a module, are missing or wrong; empty if they are its weights.

    Counts of training steps may be missing. The sentence has the `names` in the file, if there are others,
    and says that `unused` names belong to no part.
    """
    wrong = []
    for key, wanted in module.state_dict().items():
        found, name = tensors.get(key), names.get(key, key)
        if found is None:
            # Files from before PyTorch 0.4.1 lack this count of training steps; no descriptor depends on it.
            if not key.endswith("num_batches_tracked"):
                wrong.append(f"{name} is missing")
        elif found.shape != wanted.shape:
            wrong.append(f"{name} has the shape {tuple(found.shape)}, expected {tuple(wanted.shape)}")
        elif found.is_floating_point() != wanted.is_floating_point():
            wrong.append(f"{name} has the type {found.dtype}, expected {wanted.dtype}")
        elif not has_its_data(found):
            wrong.append(f"{name} has the shape {tuple(found.shape)} and data for a part of it only")
        elif not torch.isfinite(found).all():
            wrong.append(f"{name} has entries that are not finite")
    wrong += [f"{name} belongs to no part of it" for name in unused]
    more = [f"and {len(wrong) - _MOST_NAMED} others"] if len(wrong) > _MOST_NAMED else []
    return "; ".join(wrong[:_MOST_NAMED] + more)


def has_its_data(tensor: Tensor) -> bool:
    """Whether each entry has data of its own; entries that repeat take any memory when they are used."""
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def read_torch_file(path: Path) -> Any:
    """Content of a file of `torch.save`, in either of its formats, in memory of the file's size at most.

    Tensors of the zip format are mapped into memory rather than read; those of the older one are read, and
    what is declared beyond the end of the file is never touched. A tensor may have more entries than data,
    which it repeats; `misfits` tells.

    Raises
    ------
    CheckpointError
        If there is no file, it is damaged, or reading it would take more than seconds or mean running code
        that is in it.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no file of weights {path}")
    with path.open("rb") as file:
        head = file.read(512)
    if head[_TAR_MAGIC_AT:].startswith(_TAR_MAGIC):
        raise CheckpointError(
            f"{path} is a tar archive of PyTorch 0.1, which cannot be read without running the pickle in it; "
            f"load it with the code that wrote it and save the state dict with torch.save"
        )
    is_zip = head.startswith(_ZIP_MAGIC)
    if is_zip:
        _check_zip(path)
    try:
        _check_programs(path, is_zip)
        with torch.serialization.safe_globals(_STAND_INS), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except CheckpointError:
        raise
    except Exception as error:  # torch raises a different class for each way in which a file can be broken
        raise CheckpointError(_refusal(path, error)) from error


def _check_zip(path: Path) -> None:
    """Refuse compressed and overlapping entries, which could be larger than the file, and wrong checksums."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise CheckpointError(f"{path} has compressed entries, which torch.save does not write")
            declared = sum(entry.file_size for entry in entries)
            if declared > path.stat().st_size:
                raise CheckpointError(f"{path} declares {declared} bytes and has {path.stat().st_size}")
            if any(entry.filename.endswith("/constants.pkl") for entry in entries):
                raise CheckpointError(f"{path} is a TorchScript program; expected a file of weights")
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise CheckpointError(f"{path} is truncated or damaged: {error}") from error
    if damaged:
        raise CheckpointError(f"{path} is damaged: the checksum of {damaged} is wrong")


def _check_programs(path: Path, is_zip: bool) -> None:
    """Refuse pickles that name what no tensor is made of, or that would take long."""
    if is_zip:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if entry.filename.endswith("data.pkl"):
                    with archive.open(entry) as stream:
                        _check_program(path, stream)
        return
    with path.open("rb") as stream:
        for _ in range(_PICKLES_OF_OLDER_FORMAT):
            _check_program(path, stream)


def _check_program(path: Path, stream: IO[bytes]) -> None:
    """Go through the steps of a pickle with the size of each value, shared parts counted again, in its place.

    So large values cost much: a tuple that holds itself twice over, and again, is hashed for ever when it
    becomes a key, and nested ones take long as well.
    """
    sizes: list[int] = []
    marks: list[int] = []
    memo: dict[Any, int] = {}
    cost = 0
    for step, argument, _ in pickletools.genops(stream):
        if step.name == "GLOBAL" and not _PLAIN.fullmatch(str(argument)):
            raise CheckpointError(_asks_to_run(path, str(argument).replace(" ", ".")))
        cost += _COST_OF_STEP
        if step.name == "MARK":
            marks.append(len(sizes))
        elif step.name.endswith(("PUT", "MEMOIZE")):
            memo[len(memo) if argument is None else argument] = sizes[-1]
        else:
            taken = step.stack_before
            if pickletools.markobject in taken:
                start = marks.pop() - taken.index(pickletools.markobject)
            else:
                start = len(sizes) - len(taken)
            size = 1 + (memo[argument] if step.name.endswith("GET") else sum(sizes[start:]))
            # What is put into a list or dictionary costs, what is in it already does not.
            cost += size - (sizes[start] if step.name.startswith(("APPEND", "SETITEM")) else 0)
            del sizes[start:]
            sizes += [size] * len(step.stack_after)
        if cost > _MOST_COST:
            raise CheckpointError(f"{path} is nested too deeply or has too many parts for a file of weights")


def _asks_to_run(path: Path, name: str) -> str:
    return f"{path} asks to run {name} when it is loaded; only files of plain tensors are"


def _refusal(path: Path, error: Exception) -> str:
    code = re.search(r"GLOBAL (\S+)", str(error))
    if code:
        return _asks_to_run(path, code[1])
    # torch puts the reason after a paragraph of advice.
    found = re.search(r"WeightsUnpickler error:\s*(.+)", str(error))
    lines = str(error).strip().splitlines()
    reason = found[1] if found else lines[0] if lines else type(error).__name__
    return f"{path} is no readable PyTorch file of tensors: {reason}"
