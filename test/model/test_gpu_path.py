"""The way through a GPU: on one if there is one; else its steps, with a CPU in the place of the GPU."""

from __future__ import annotations

import gc
import weakref
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from netvlad_core.model import gpu_path
from netvlad_core.model.checkpoints import load_checkpoint
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.gpu_path import GpuPath
from netvlad_core.model.torch_engine import TorchEngine


class FakeGpu:
    """Counts what runs kernel by kernel; a graph computes anew what was last computed before its end."""

    def __init__(self, error: float = 0.0) -> None:
        self.launched: list[int] = []
        self.graphs = 0
        self._error = error
        self._last = torch.empty(0), torch.empty(0)
        self.torch: Any = SimpleNamespace(
            empty=lambda shape, dtype, pin_memory: torch.empty(shape, dtype=dtype),
            randint=torch.randint,
            uint8=torch.uint8,
            cuda=SimpleNamespace(
                Stream=lambda device: SimpleNamespace(synchronize=lambda: None),
                device=nullcontext,
                stream=nullcontext,
                CUDAGraph=self._graph,
                graph=lambda graph, **_: nullcontext(),
            ),
        )

    def run(self, images: Tensor) -> Tensor:
        self.launched.append(len(images))
        self._last = images, images.float().mean(dim=(1, 2))
        return self._last[1]

    def _graph(self) -> Any:
        self.graphs += 1
        inputs, output = torch.empty(0), torch.empty(0)

        def replay() -> None:
            nonlocal inputs, output
            if not len(output):
                inputs, output = self._last
            output.copy_(inputs.float().mean(dim=(1, 2)) + self._error)

        return SimpleNamespace(replay=replay)


def pictures(count: int, seed: int, height: int = 4) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return list(random.integers(0, 256, (count, height, 6, 3), dtype=np.uint8))


def test_shape_that_comes_again_runs_as_one_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = FakeGpu()
    monkeypatch.setattr(gpu_path, "torch", gpu.torch)
    path = GpuPath(gpu.run, torch.device("cpu"), has_graphs=True)
    for seed, count in enumerate([2, 2, 2, 3, 2, 3, 3, 3]):
        images = pictures(count, seed)
        np.testing.assert_allclose(path(images), np.mean(images, axis=(1, 2)), rtol=1e-5)
    runs_of_a_capture = 4
    assert gpu.launched == [2, *[2] * runs_of_a_capture, 3, 3, *[3] * runs_of_a_capture]
    for seed, height in enumerate([8, 8, 8]):
        path(pictures(1, seed, height))
    assert gpu.graphs == 2, "no more are kept than for the batches of a camera"


@pytest.mark.parametrize(("error", "has_graphs"), [(0.01, True), (float("nan"), True), (0.0, False)])
def test_without_a_graph_that_is_right_all_runs_kernel_by_kernel(
    error: float, has_graphs: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gpu = FakeGpu(error)
    monkeypatch.setattr(gpu_path, "torch", gpu.torch)
    path = GpuPath(gpu.run, torch.device("cpu"), has_graphs)
    for seed in range(5):
        images = pictures(2, seed)
        np.testing.assert_allclose(path(images), np.mean(images, axis=(1, 2)), rtol=1e-5)
    assert gpu.graphs == int(has_graphs)
    assert caplog.text.count("no CUDA graph for images of the shape (2, 4, 6, 3)") == int(has_graphs)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize(
    ("precision", "lowest"), [("float32", 0.9999), ("bfloat16", 0.98), ("float16", 0.999)]
)
def test_gpu_describes_as_the_cpu_does(
    precision: str, lowest: float, small_checkpoint: Path, street_views: list[np.ndarray]
) -> None:
    expected = TorchEngine(load_checkpoint(small_checkpoint), "cpu").describe(street_views)
    engine = TorchEngine(load_checkpoint(small_checkpoint), "cuda", precision, is_own=True)
    for _ in range(4):  # the third and fourth time as a graph
        assert (engine.describe(street_views) * expected).sum(axis=1).min() > lowest


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_batch_is_halved_when_a_gpu_runs_out_of_memory(
    small_checkpoint: Path, street_views: list[np.ndarray], caplog: pytest.LogCaptureFixture
) -> None:
    extractor = Extractor.load(small_checkpoint, "cuda", engine="torch")
    images = [np.ascontiguousarray(np.tile(street_views[0], (3, 3, 1)))] * 16
    expected = extractor(images[:1])
    gc.collect()
    torch.cuda.empty_cache()
    needed = torch.cuda.memory_allocated() + 24 * sum(image.nbytes for image in images) // 2
    try:
        torch.cuda.set_per_process_memory_fraction(needed / torch.cuda.mem_get_info()[1])
        found = extractor(images)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "no memory for 16 images at once" in caplog.text
    assert extractor.device == "cuda"
    assert not extractor.failure
    assert (found @ expected.T).min() > 0.999


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_engine_gives_its_memory_back_at_once(small_checkpoint: Path, street_views: list[np.ndarray]) -> None:
    gc.disable()
    try:
        network = load_checkpoint(small_checkpoint)
        engine, kept = TorchEngine(network, "cuda", is_own=True), weakref.ref(network)
        for _ in range(3):
            engine.describe(street_views)
        del engine, network
        assert kept() is None
    finally:
        gc.enable()
