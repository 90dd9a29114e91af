"""Files that are damaged, unknown or hostile: a sentence, and neither code nor memory taken from them."""

from __future__ import annotations

import io
import pickle
import re
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

from netvlad_core.errors import CheckpointError
from netvlad_core.model.importers import import_weights
from support import foreign_weights as foreign

State = OrderedDict[str, torch.Tensor]


@pytest.fixture(scope="module")
def nanne() -> State:
    random = np.random.default_rng(0)
    assignment, centroids = foreign.layer_weights(random, 8, 256)
    layer = {"centroids": centroids, "conv.weight": assignment[:, :, None, None]}
    return foreign.tensors(foreign.alexnet_weights(random), "encoder.") | foreign.tensors(layer, "pool.")


@pytest.fixture(scope="module")
def matlab(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    random = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("matlab") / "net.mat"
    assignment, centroids = foreign.layer_weights(random, 64, 512)
    whitening = foreign.whitening_weights(random, 64 * 512, 4)
    foreign.write_hloc(path, foreign.vgg16_weights(random), assignment, centroids, *whitening)
    return path.read_bytes()


def _without(name: str) -> Callable[[State], State]:
    return lambda state: OrderedDict((key, value) for key, value in state.items() if key != name)


def _with(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[State], State]:
    return lambda state: OrderedDict(
        (key, change(value) if key == name else value) for key, value in state.items()
    )


def _not_a_number(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.clone()
    tensor.view(-1)[3] = float("nan")
    return tensor


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (_without("encoder.6.bias"), r"looks like Nanne.* with alexnet, but encoder\.6\.bias is missing"),
        (_without("pool.centroids"), r"pool\.centroids is missing"),
        (
            _with("pool.centroids", lambda tensor: tensor[:, :200]),
            r"pool\.centroids has the shape \(8, 200\), expected \(8, 256\)",
        ),
        (_with("encoder.3.weight", _not_a_number), r"encoder\.3\.weight has entries that are not finite"),
        (_with("encoder.8.bias", lambda tensor: tensor.int()), r"encoder\.8\.bias has the type torch\.int32"),
        (lambda state: state | {"encoder.12.weight": torch.zeros(4)}, r"encoder\.12\.weight belongs to no"),
    ],
)
def test_tensor_that_is_wrong_is_named(
    damage: Callable[[State], State], sentence: str, nanne: State, tmp_path: Path
) -> None:
    torch.save({"state_dict": damage(nanne)}, tmp_path / "weights")
    with pytest.raises(CheckpointError, match=sentence):
        import_weights(tmp_path / "weights")


def test_unknown_layout_is_named_with_the_known_ones(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "weights")
    with pytest.raises(
        CheckpointError, match=r"none of the known layouts .*Patch-NetVLAD.*features\.0\.weight"
    ):
        import_weights(tmp_path / "weights")


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": {}}, {"a": "b"}])
def test_file_without_named_tensors(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights")
    with pytest.raises(CheckpointError, match="holds no state dict of named tensors"):
        import_weights(tmp_path / "weights")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no file of weights"):
        import_weights(tmp_path / "nowhere.pth")


class _Hostile:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, (f"open({str(self.trace)!r}, 'w').close()",)


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_file_does_not_run(legacy: bool, nanne: State, tmp_path: Path) -> None:
    trace, path = tmp_path / "it ran", tmp_path / "weights"
    torch.save(
        {"state_dict": nanne, "epoch": _Hostile(trace)}, path, _use_new_zipfile_serialization=not legacy
    )
    with pytest.raises(CheckpointError, match=r"asks to run .*exec"):
        import_weights(path)
    path.write_bytes(pickle.dumps(_Hostile(trace)))
    with pytest.raises(CheckpointError):
        import_weights(path)
    assert not trace.exists()


def test_tar_of_the_first_pytorch_is_refused_with_the_reason(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "weights.pth.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("pickle"), io.BytesIO())
    with pytest.raises(CheckpointError, match=r"tar archive of PyTorch 0.1.*without running the pickle"):
        import_weights(tmp_path / "weights.pth.tar")


def test_every_truncation_is_refused(nanne: State, matlab: bytes, tmp_path: Path) -> None:
    torch.save({"state_dict": nanne}, tmp_path / "zip")
    torch.save({"state_dict": nanne}, tmp_path / "legacy", _use_new_zipfile_serialization=False)
    contents = [(tmp_path / "zip").read_bytes(), (tmp_path / "legacy").read_bytes(), matlab]
    for content in contents:
        for share in (0.0, 0.00001, 0.01, 0.3, 0.9, 0.999):
            path = tmp_path / "cut"
            path.write_bytes(content[: int(share * len(content))])
            with pytest.raises(CheckpointError):
                import_weights(path)


def test_random_damage_never_gives_another_error(nanne: State, matlab: bytes, tmp_path: Path) -> None:
    """Either a sentence, or weights: most bytes are numbers, and no format but zip has checksums."""
    torch.save({"state_dict": nanne}, tmp_path / "zip")
    torch.save({"state_dict": nanne}, tmp_path / "legacy", _use_new_zipfile_serialization=False)
    random = np.random.default_rng(1)
    refused = 0
    for content in ((tmp_path / "zip").read_bytes(), (tmp_path / "legacy").read_bytes(), matlab[:200_000]):
        for _ in range(15):
            damaged = bytearray(content)
            structure = 4000  # the beginning, where the sizes stand
            for position in random.integers(0, structure, 8):
                damaged[position] = random.integers(256)
            path = tmp_path / "damaged"
            path.write_bytes(bytes(damaged))
            try:
                import_weights(path)
            except CheckpointError:
                refused += 1
    assert refused >= 15  # all that have checksums


def _zip_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        archive.writestr("archive/data/0", bytes(1 << 28))


def _overlapping_zip(path: Path) -> None:
    """Many entries of the directory that all point to the same bytes."""
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        archive.writestr("archive/data/0", bytes(1 << 20))
        entry = archive.infolist()[1]
        archive.filelist.extend([entry] * 5000)
    path.write_bytes(stored.getvalue())


def _huge_tensor(path: Path) -> None:
    """A few stored bytes, seen as a tensor of 16 GB by strides of zero."""
    state = {"encoder.0.weight": torch.zeros(1).expand(4096, 1024, 1024)}
    torch.save({"state_dict": state, "pool.centroids": torch.zeros(1)}, path)


def _matlab_bomb(path: Path) -> None:
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    body = zlib.compress(bytes(1 << 28))
    path.write_bytes(header + struct.pack("<II", 15, len(body)) + body)


def _matlab_dimensions(path: Path) -> None:
    savemat(path, {"net": np.zeros((2, 2), np.float32)})
    content = path.read_bytes()
    assert content.count(struct.pack("<ii", 2, 2)) == 1
    path.write_bytes(content.replace(struct.pack("<ii", 2, 2), struct.pack("<ii", 1 << 15, 1 << 17)))


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (_zip_bomb, "has compressed entries, which torch.save does not write"),
        (_overlapping_zip, "declares [0-9]+ bytes and has"),
        (_huge_tensor, r"encoder\.0\.weight has the shape \(4096, 1024, 1024\)"),
        (_matlab_bomb, "a compressed part .* grows beyond what such a file can hold"),
        (_matlab_dimensions, "an array declares 4294967296 entries and has"),
    ],
)
def test_file_that_asks_for_much_is_refused_within_512_megabytes(
    write: Callable[[Path], None], sentence: str, tmp_path: Path
) -> None:
    write(tmp_path / "bomb")
    code = f"""
import resource, sys
from pathlib import Path
import scipy.io
from netvlad_core.errors import CheckpointError
from netvlad_core.model.importers import import_weights
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + (1 << 29)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    import_weights(Path({str(tmp_path / "bomb")!r}))
except CheckpointError as error:
    print(error)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert re.search(sentence, ended.stdout), ended.stdout
