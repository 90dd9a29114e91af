"""OpenVINO: its precisions, any number of shapes, and several callers at a time."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from netvlad_core.errors import NetvladError
from netvlad_core.model.open_engine import variant_path
from netvlad_core.model.openvino_engine import OpenVinoEngine


@pytest.fixture(scope="module")
def file(small_checkpoint: Path) -> Path:
    return variant_path(small_checkpoint, "float32")


@pytest.fixture(scope="module")
def single(file: Path) -> OpenVinoEngine:
    return OpenVinoEngine(file, "float32")


def test_missing_openvino_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(NetvladError, match="pip install openvino"):
        OpenVinoEngine(file)


def test_bfloat16_is_near_float32(file: Path, single: OpenVinoEngine, street_views: list[np.ndarray]) -> None:
    capable = OpenVinoEngine(file)
    if capable.precision != "bfloat16":
        with pytest.raises(NetvladError, match="in float32 on this CPU, not in bfloat16"):
            OpenVinoEngine(file, "bfloat16")
        pytest.skip("this CPU does not compute in bfloat16")
    expected = single.describe(street_views)
    similarity = (capable.describe(street_views) * expected).sum(axis=1)
    assert 0.98 < similarity.min() < 1 - 1e-7
    assert capable.model_id == single.model_id


def test_precisions_of_the_file_and_the_cpu_only(file: Path, small_checkpoint: Path) -> None:
    with pytest.raises(NetvladError, match="float32 on this CPU, not in float16"):
        OpenVinoEngine(file, "float16")
    quantized = variant_path(small_checkpoint, "int8")
    assert OpenVinoEngine(quantized).precision == "int8"
    with pytest.raises(NetvladError, match="in int8 on this CPU, not in float32"):
        OpenVinoEngine(quantized, "float32")


def test_shapes_beyond_those_compiled_for_give_the_same(
    file: Path, single: OpenVinoEngine, street_views: list[np.ndarray]
) -> None:
    resized = np.stack(street_views[:3]).astype(np.float32)
    expected = single.run(resized)
    other = OpenVinoEngine(file, "float32")
    for height in (64, 72, 80):  # then there is no room for a fourth shape
        other.run(resized[:1, :height])
    np.testing.assert_allclose(other.run(resized), expected, atol=1e-5)


def test_several_callers_at_a_time(
    file: Path, single: OpenVinoEngine, street_views: list[np.ndarray]
) -> None:
    expected = [single.describe([image]) for image in street_views]
    engine = OpenVinoEngine(file, "float32")
    with engine.serving(2) as join, ThreadPoolExecutor(2, initializer=join) as pool:
        found = list(pool.map(lambda image: engine.describe([image]), street_views * 4))
    np.testing.assert_allclose(found, expected * 4, atol=1e-5)
    np.testing.assert_allclose(engine.describe(street_views[:1]), expected[0], atol=1e-5)


def test_descriptors_stay_when_the_next_image_comes(
    single: OpenVinoEngine, street_views: list[np.ndarray]
) -> None:
    first = single.describe(street_views[:1])
    kept = first.copy()
    single.describe(street_views[1:2])
    np.testing.assert_array_equal(first, kept)


def test_nothing_is_reported_to_anybody(small_checkpoint: Path) -> None:
    """The package sends an event for each import, from a process that it forks."""
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from netvlad_core.model.openvino_engine import OpenVinoEngine\n"
        "os.environ.pop('CI', None)\n"
        "forked = []\n"
        "os.register_at_fork(before=lambda: forked.append(1))\n"
        "sys.addaudithook(lambda event, _: forked.append(event) if event == 'socket.connect' else None)\n"
        "OpenVinoEngine(Path(sys.argv[1]))\n"
        "assert 'openvino_telemetry.main' not in sys.modules\n"
        "assert not forked, forked\n"
    )
    weights = variant_path(small_checkpoint, "float32")
    subprocess.run([sys.executable, "-c", program, str(weights)], check=True)
