"""A network run by ONNX Runtime: a robot needs neither torch nor the code of the network."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from netvlad_core.errors import CheckpointError, NetvladError
from netvlad_core.files import sha256_of
from netvlad_core.model.engine import Engine, allowed_threads
from netvlad_core.model.preprocessing import resize
from netvlad_core.model.spec import NetworkSpec

# Written by `netvlad_core.model.export`.
FORMAT = "netvlad_ros network 1"
INPUT, OUTPUT = "images", "descriptors"
# The last bytes of a file: one more entry of its metadata, the sha256 of all bytes before. In protobuf parts
# of a message that follow each other are one message.
_SUM = "sha256"
_SUM_HEAD = b"\x72\x4a\x0a\x06sha256\x12\x40"
_SUM_LENGTH = len(_SUM_HEAD) + 64
# Of ONNX's ModelProto and StringStringEntryProto.
_METADATA_FIELD, _KEY_FIELD, _VALUE_FIELD = 14, 1, 2
_LOG_ERRORS = 3  # warnings are about optimisations that the runtime could not do
# The fastest first.
_TENSORRT, _CUDA = "TensorrtExecutionProvider", "CUDAExecutionProvider"


@dataclass(frozen=True)
class OnnxFacts:
    """The metadata of a file.

    Attributes
    ----------
    model_id : fingerprint of the network in float32.
    spec : description of the network.
    precision : one of ONNX_PRECISIONS, in which its weights are stored.
    digest : sha256 of the content, hexadecimal.
    is_whole : whether the file carries this digest; files of the first exports carry none.
    """

    model_id: str
    spec: NetworkSpec
    precision: str
    digest: str
    is_whole: bool

    @classmethod
    def read(cls, path: Path) -> OnnxFacts:
        """Read and check, before any engine opens the file; raises CheckpointError that names it."""
        metadata = read_metadata(path)
        if metadata.get("format") != FORMAT:
            found = metadata.get("format", "no format at all")
            raise CheckpointError(
                f"{path} states {found!r}; expected {FORMAT!r}, as `netvlad export` writes it"
            )
        try:
            stated = metadata["model_id"], NetworkSpec.from_json(metadata["spec"]), metadata["precision"]
        except (KeyError, CheckpointError) as error:
            raise CheckpointError(f"{path} is damaged, its metadata are not whole: {error}") from error
        return cls(*stated, check_sum(path, metadata), _SUM in metadata)


def with_sum(content: bytes) -> bytes:
    """The content of an ONNX file with the checksum that `OnnxFacts.read` compares."""
    return content + _SUM_HEAD + hashlib.sha256(content).hexdigest().encode()


def check_sum(path: Path, metadata: dict[str, str]) -> str:
    """The sha256 of a file's content, as far as it is summed; raises CheckpointError if it has changed."""
    is_summed = _SUM in metadata
    digest = sha256_of(path, path.stat().st_size - _SUM_LENGTH if is_summed else None)
    if is_summed and digest != metadata[_SUM]:
        raise CheckpointError(
            f"{path} is damaged: its checksum is wrong, it has changed since it was written; export it again"
        )
    return digest


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of an ONNX file; its graph is skipped, not read. Raises CheckpointError that names it."""
    if not path.is_file():
        raise CheckpointError(f"there is no ONNX file {path}")
    try:
        with path.open("rb") as file:
            entries = [BytesIO(entry) for entry in _fields(file, _METADATA_FIELD)]
        keys, values = (
            [b"".join(_fields(entry, field)).decode() for entry in entries]
            for field in (_KEY_FIELD, _VALUE_FIELD)
        )
        return dict(zip(keys, values, strict=True))
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path} is cut off, damaged or no ONNX file: {error}") from error


def _fields(file: BinaryIO, wanted: int) -> Iterator[bytes]:
    """The contents of a protobuf message's fields of one number."""
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    while file.tell() < end:
        number, kind = divmod(_varint(file), 8)
        if kind not in (0, 2):  # ONNX has no others in these messages
            raise ValueError(f"there is a field of the kind {kind}")
        length = _varint(file)
        if kind == 0:
            continue
        if length > end - file.tell():
            raise ValueError("a field is longer than the file")
        if number == wanted:
            yield file.read(length)
        else:
            file.seek(length, os.SEEK_CUR)


def _varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            raise ValueError("it ends within a field")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("there is a number of more than 64 bits")


class OnnxEngine(Engine):
    """Runs a file of `netvlad export`, which normalises images itself; all calls share the session's threads.

    `device` is "auto" (CUDA if this ONNX Runtime has it), "cpu", "cuda", "cuda:1", ...
    """

    def __init__(self, path: Path, device: str = "auto") -> None:
        facts = OnnxFacts.read(path)
        self._session = open_session(path, device, facts.digest)
        self.model_id, self.spec, self.precision = facts.model_id, facts.spec, facts.precision
        self.is_whole = facts.is_whole
        provider = self._session.get_providers()[0].removesuffix("ExecutionProvider")
        threads = f", {allowed_threads()} threads" if provider == "CPU" else ""
        self.device = f"{provider} (ONNX Runtime{threads})"

    @classmethod
    def open(cls, path: Path, device: str, precision: str) -> OnnxEngine | None:
        """Open a file; None if it is not in this precision."""
        engine = cls(path, device)
        return engine if precision in ("auto", engine.precision) else None

    def describe(self, images: Sequence[np.ndarray]) -> np.ndarray:
        return self.run(resize(images, self.spec.preprocessing).astype(np.float32, copy=False))

    def run(self, resized: np.ndarray) -> np.ndarray:
        """Descriptors of images that have their size already: (B, H, W, 3) float32, RGB 0 to 255."""
        return self._session.run([OUTPUT], {INPUT: resized})[0]


def open_session(path: Path, device: str, digest: str) -> Any:
    """A session of ONNX Runtime; raises NetvladError without it, CheckpointError for a broken file."""
    try:
        import onnxruntime
    except ImportError as error:
        raise NetvladError(
            f"{path} needs ONNX Runtime, which is not installed: pip install onnxruntime"
        ) from error
    providers = _providers(device, onnxruntime.get_available_providers(), digest)
    try:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _LOG_ERRORS
        options.intra_op_num_threads = allowed_threads()
        # Threads that spin until the next image come to three times the processor time, at the same speed.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # ONNX Runtime raises a different class for each way a file can be broken
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"ONNX Runtime cannot open {path}: {reason}") from error


def _providers(device: str, available: Sequence[str], digest: str) -> list[Any]:
    kind, _, number = device.partition(":")
    gpu = [name for name in (_TENSORRT, _CUDA) if name in available]
    if kind == "cpu" or (kind == "auto" and not gpu):
        return ["CPUExecutionProvider"]
    if kind in ("cuda", "auto") and gpu:
        options = {"device_id": number or "0"}
        chosen = [(name, options | _cache(digest) if name == _TENSORRT else options) for name in gpu]
        return [*chosen, "CPUExecutionProvider"]
    raise NetvladError(
        f"this ONNX Runtime cannot use the device {device!r}, it has {', '.join(available)}; 'auto' takes "
        "what is there, and onnxruntime-gpu has CUDA"
    )


def _cache(digest: str) -> dict[str, str]:
    """TensorRT takes minutes to make its own network of a shape, and keeps it in the user's folder.

    ONNX Runtime names what it keeps by the file's name and the shape of its graph, whatever the weights, so
    each file has a folder of its own.
    """
    folder = Path(os.path.expanduser("~"), ".cache", "netvlad_ros", "tensorrt", digest[:16])
    return {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(folder)}
