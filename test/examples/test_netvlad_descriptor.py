"""RTAB-Map's way to a descriptor: a program in C calls the script, as RTAB-Map's PyDescriptor calls it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from netvlad_core import Extractor
from netvlad_core.model.checkpoints import save_checkpoint
from support.networks import random_network

_ROOT = Path(__file__).resolve().parents[2]
_SCRIPT = _ROOT / "examples" / "rtabmap" / "netvlad_descriptor.py"

# The host's process: what RTAB-Map does in C++, with sys.argv missing as in an embedded interpreter.
_HOST = """
import ctypes, os, sys
import numpy as np
library, folder, dimension, image = sys.argv[1:]
del sys.argv
sys.path.append(folder)
host = ctypes.PyDLL(library)
pixels = np.load(image)
found = np.zeros(40_000, np.float32)
length = host.describe(
    b"netvlad_descriptor", int(dimension), ctypes.c_void_p(pixels.ctypes.data), *map(int, pixels.shape),
    found.ctypes.data_as(ctypes.c_void_p), len(found),
)
assert length > 0, length
assert "torch" not in sys.modules or "NETVLAD_WEIGHTS" in os.environ
np.save(image, found[:length])
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    headers = Path(sysconfig.get_paths()["include"])
    if compiler is None or not (headers / "Python.h").is_file():
        pytest.skip("there is no C compiler, or Python's headers are not here")
    target = tmp_path_factory.mktemp("host") / "host.so"
    includes = [f"-I{headers}", f"-I{np.get_include()}"]
    source = Path(__file__).with_name("rtabmap_host.c")
    subprocess.run([compiler, "-shared", "-fPIC", *includes, "-o", target, source], check=True)
    return target


def _described(
    library: Path, image: np.ndarray, dimension: int, folder: Path, **variables: str
) -> np.ndarray:
    path = folder / "image.npy"
    np.save(path, image)
    command = [sys.executable, "-c", _HOST, str(library), str(_SCRIPT.parent), str(dimension), str(path)]
    environment = {**os.environ, "PYTHONPATH": f"{_ROOT}:{os.environ.get('PYTHONPATH', '')}", **variables}
    subprocess.run(command, check=True, env=environment)
    return np.load(path)


def _picture(channels: int) -> np.ndarray:
    cells = np.random.default_rng(0).integers(0, 256, (12, 16, channels), np.uint8)
    return cells.repeat(20, axis=0).repeat(20, axis=1)


def test_descriptor_is_the_extractors(library: Path, tmp_path: Path) -> None:
    bgr = _picture(3).repeat(2, axis=0).repeat(2, axis=1)
    assert bgr.shape == (480, 640, 3)
    found = _described(library, bgr, 128, tmp_path)
    expected = Extractor.load(device="cpu")(bgr[:, :, ::-1].copy())[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_grey_image_is_one_of_equal_channels(library: Path, tmp_path: Path) -> None:
    grey = _picture(1)
    found = _described(library, grey, 128, tmp_path)
    expected = Extractor.load(device="cpu")(grey.repeat(3, axis=2))[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_whitened_descriptor_is_cropped(library: Path, tmp_path: Path) -> None:
    weights = tmp_path / "small.safetensors"
    views = [np.roll(_picture(3), 40 * step, axis=1) for step in range(8)]
    save_checkpoint(random_network("alexnet", views, whitened_dimension=16), weights)
    bgr = _picture(3)
    found = _described(library, bgr, 8, tmp_path, NETVLAD_WEIGHTS=str(weights))
    expected = Extractor.load(weights, "cpu")(bgr[:, :, ::-1].copy())[0, :8]
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-5)


def test_image_that_cannot_be_described_gets_zeros(library: Path, tmp_path: Path) -> None:
    """RTAB-Map ends when one node has a descriptor and another has none."""
    found = _described(library, np.zeros((8, 8, 3), np.uint8), 128, tmp_path)
    np.testing.assert_array_equal(found, np.zeros(7168))


def test_network_that_is_missing_ends_nothing_but_the_descriptor(library: Path, tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        _described(library, _picture(3), 128, tmp_path, NETVLAD_WEIGHTS=str(tmp_path / "none.safetensors"))
