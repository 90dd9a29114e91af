"""From images to descriptors: sizes, order, grey, batches, precision and refusals."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from netvlad_core.cli import main
from netvlad_core.data.frames import Frame
from netvlad_core.errors import CheckpointError, ImageError, NetvladError
from netvlad_core.model.checkpoints import load_checkpoint, save_checkpoint
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.open_engine import open_engine
from netvlad_core.model.streaming import describe_frames
from netvlad_core.model.torch_engine import TorchEngine
from support.engines import FailingEngine
from support.street import street, view, write_catalogue


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    """Six images in three sizes and aspects, mixed; the last one is grey."""
    fronts = street(seed=7, metres=60)
    whole = [view(fronts, x) for x in (0, 13, 26, 39, 52)]
    mixed = [image if index % 2 else image[10:100, 20:] for index, image in enumerate(whole)]
    return [*mixed[:4], mixed[4][:, :60], whole[2][..., 1]]


def test_one_image(extractor: Extractor, images: list[np.ndarray]) -> None:
    descriptors = extractor(images[0])
    assert descriptors.shape == (1, extractor.dimension) == (1, 8 * 112)
    assert descriptors.dtype == np.float32
    assert np.linalg.norm(descriptors[0]) == pytest.approx(1, abs=1e-5)


def test_mixed_sizes_keep_their_order(extractor: Extractor, images: list[np.ndarray]) -> None:
    together = extractor(images)
    one_by_one = np.concatenate([extractor(image) for image in images])
    np.testing.assert_allclose(together, one_by_one, atol=1e-4)
    similarities = one_by_one @ one_by_one.T - np.eye(len(images))
    assert similarities.max() < 0.95, "images so alike would not show a wrong order"


def test_batch_equals_list(extractor: Extractor, images: list[np.ndarray]) -> None:
    same_size = images[1:4:2]
    np.testing.assert_array_equal(extractor(np.stack(same_size)), extractor(same_size))


def test_grey_equals_three_equal_channels(extractor: Extractor, images: list[np.ndarray]) -> None:
    grey = images[5]
    coloured = extractor(np.stack([grey] * 3, axis=-1))
    np.testing.assert_array_equal(extractor(grey), coloured)
    np.testing.assert_array_equal(extractor(grey[:, :, None]), coloured)
    np.testing.assert_array_equal(extractor([grey, grey]), np.repeat(coloured, 2, axis=0))


def test_small_batches_change_nothing(
    checkpoint: Path, extractor: Extractor, images: list[np.ndarray]
) -> None:
    single = Extractor.load(checkpoint, "cpu", batch_size=1)
    np.testing.assert_allclose(single(images), extractor(images), atol=1e-4)


@pytest.mark.parametrize("size", [(16, 16), (16, 300), (300, 16), (17, 31), (640, 480), (1, 1)])
def test_any_size_and_aspect(size: tuple[int, int], extractor: Extractor) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    if min(size) < 16:
        with pytest.raises(ImageError, match="1x1 pixels is too small"):
            extractor(image)
        return
    descriptor = extractor(image)
    assert np.linalg.norm(descriptor) == pytest.approx(1, abs=1e-4)


def test_no_image_gives_no_descriptor(extractor: Extractor) -> None:
    assert extractor([]).shape == (0, extractor.dimension)


def test_same_images_give_the_same_bits(
    checkpoint: Path, extractor: Extractor, images: list[np.ndarray]
) -> None:
    first = extractor(images)
    np.testing.assert_array_equal(extractor(images), first)
    np.testing.assert_array_equal(Extractor.load(checkpoint, "cpu")(images), first)


def test_images_are_not_changed(extractor: Extractor, images: list[np.ndarray]) -> None:
    before = [image.copy() for image in images]
    extractor(images)
    for image, old in zip(images, before):
        np.testing.assert_array_equal(image, old)


def test_read_only_and_strided_images_are_taken(extractor: Extractor, images: list[np.ndarray]) -> None:
    strided = np.repeat(images[0], 2, axis=1)[:, ::2]
    strided.flags.writeable = False
    np.testing.assert_array_equal(extractor(strided), extractor(images[0]))


def test_colour_order_matters(extractor: Extractor, images: list[np.ndarray]) -> None:
    rgb, bgr = extractor([images[0], images[0][..., ::-1]])
    assert rgb @ bgr < 0.95


def test_one_bad_image_of_a_list_is_refused(extractor: Extractor, images: list[np.ndarray]) -> None:
    with pytest.raises(ImageError, match=r"float32 \(64, 64, 3\)"):
        extractor([images[0], np.zeros((64, 64, 3), np.float32)])


def test_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere"):
        Extractor.load(tmp_path / "nowhere")


def test_unknown_precision_is_refused(checkpoint: Path) -> None:
    with pytest.raises(NetvladError, match="'int4'; there are: auto, float32, bfloat16, float16, int8"):
        Extractor.load(checkpoint, precision="int4")


def test_int8_without_a_file_tells_how_to_make_it(checkpoint: Path) -> None:
    with pytest.raises(CheckpointError, match=rf"netvlad export {checkpoint} SOURCE --precision int8"):
        Extractor.load(checkpoint, precision="int8")


@pytest.mark.parametrize("flags", [[], ["--assignment-bias"], ["--no-intra-normalization"]])
def test_every_form_of_the_layer_is_fitted_and_kept(flags: list[str], tmp_path: Path) -> None:
    drive = write_catalogue(tmp_path / "drive", street(seed=7, metres=40), range(0, 40, 8))
    weights = tmp_path / "net.safetensors"
    assert main(["fit", str(drive), "--output", str(weights), "--clusters", "4", "--quiet", *flags]) == 0
    extractor = Extractor.load(weights, "cpu")
    assert extractor.spec.assignment_bias == ("--assignment-bias" in flags)
    assert extractor.spec.intra_normalization == ("--no-intra-normalization" not in flags)
    fronts = street(seed=7, metres=40)
    place, same, other = extractor([view(fronts, 8), view(fronts, 9, gain=0.9), view(fronts, 32)])
    assert np.linalg.norm(place) == pytest.approx(1, abs=1e-5)
    assert place @ same > place @ other + 0.1
    lengths = np.linalg.norm(place.reshape(4, -1), axis=1)
    assert (np.ptp(lengths) < 1e-5) == extractor.spec.intra_normalization


# --- A GPU that fails ---------------------------------------------------------------------------------------

_FAILURES = [
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("CUDA error: unspecified launch failure"),
    onnxruntime.capi.onnxruntime_pybind11_state.RuntimeException("CUDA failure 100: no CUDA-capable device"),
    onnxruntime.capi.onnxruntime_pybind11_state.Fail("Failed to allocate memory for requested buffer"),
]


@pytest.mark.parametrize("error", _FAILURES, ids=lambda error: type(error).__name__)
def test_cpu_takes_over_from_a_gpu_that_fails(
    error: Exception,
    checkpoint: Path,
    extractor: Extractor,
    images: list[np.ndarray],
    caplog: pytest.LogCaptureFixture,
) -> None:
    expected = extractor(images)
    gpu = FailingEngine(open_engine(checkpoint, "cpu"), error, works=2)
    failing = Extractor(gpu, 1, partial(open_engine, checkpoint, "cpu"))
    assert (failing.runs_on, failing.failure) == ("cuda:0 in float32", "")
    with caplog.at_level(logging.WARNING):
        found = failing(images)
        failing(images)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert gpu.calls == [1, 1, 1], "it is not asked again"
    assert failing.runs_on == "cpu in float32"
    assert failing.failure.startswith("cuda:0 failed: ")
    assert str(error).partition(".")[0] in failing.failure
    assert caplog.text.count("from now on the network runs on cpu in float32") == 1


def test_backend_that_loses_its_gpu_is_replaced(
    checkpoint: Path, images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Extractor.load` knows how to open the network again."""
    loaded = Extractor.load(checkpoint, "cpu", engine="torch")
    expected, first = loaded(images), loaded.engine
    described = TorchEngine.describe

    def lost(engine: TorchEngine, given: list[np.ndarray]) -> np.ndarray:
        if engine is first:
            raise RuntimeError("CUDA error: device-side assert triggered\nCompile with TORCH_USE_CUDA_DSA")
        return described(engine, given)

    monkeypatch.setattr(TorchEngine, "describe", lost)
    np.testing.assert_allclose(loaded(images), expected, atol=1e-5)
    assert loaded.failure == "cpu failed: RuntimeError: CUDA error: device-side assert triggered"


def test_gpu_that_cannot_hold_the_network_is_left_alone(
    checkpoint: Path, images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = TorchEngine.__init__

    def full(engine: TorchEngine, network: PlaceNetwork, device: str, *others: Any, **named: Any) -> None:
        if device == "auto":
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB")
        begin(engine, network, device, *others, **named)

    monkeypatch.setattr(TorchEngine, "__init__", full)
    loaded = Extractor.load(checkpoint, engine="torch")
    assert loaded.device == "cpu"
    assert loaded.failure.startswith("the GPU failed: OutOfMemoryError: CUDA out of memory")
    assert len(loaded(images)) == len(images)


def test_batches_shrink_to_what_the_memory_holds(
    checkpoint: Path, extractor: Extractor, images: list[np.ndarray]
) -> None:
    gpu = FailingEngine(open_engine(checkpoint, "cpu"), _FAILURES[0], works=1000, most_images=3)
    failing = Extractor(gpu, 8, partial(open_engine, checkpoint, "cpu"))
    views = [images[1]] * 8
    np.testing.assert_allclose(failing(views), np.repeat(extractor(images[1]), 8, axis=0), atol=1e-4)
    assert (gpu.calls, failing.batch_size, failing.failure) == ([8, 4, 2, 2, 4, 2, 2], 2, "")
    failing(views)
    assert gpu.calls[7:] == [2, 2, 2, 2]


def test_workers_agree_on_one_spare_engine(
    checkpoint: Path, extractor: Extractor, images: list[np.ndarray]
) -> None:
    opened = []

    def spare() -> TorchEngine:
        opened.append(TorchEngine(load_checkpoint(checkpoint), "cpu"))
        return opened[-1]

    gpu = FailingEngine(extractor.engine, _FAILURES[1], works=3)
    failing = Extractor(gpu, 1, spare)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(failing, images * 4))
    np.testing.assert_allclose(np.concatenate(found[:6]), extractor(images), atol=1e-4)
    assert len(opened) == 1


def test_drive_goes_on_when_the_gpu_fails_under_several_workers(
    checkpoint: Path, extractor: Extractor, images: list[np.ndarray]
) -> None:
    gpu = FailingEngine(extractor.engine, _FAILURES[1], works=3)
    failing = Extractor(gpu, 2, partial(open_engine, checkpoint, "cpu"))
    frames = [Frame(f"{index}.png", index, None, lambda: images[1]) for index in range(12)]
    described = [frame for batch in describe_frames(frames, failing) for frame in batch]
    assert [frame.frame.name for frame in described] == [frame.name for frame in frames]
    found = np.stack([frame.descriptor for frame in described if frame.descriptor is not None])
    np.testing.assert_allclose(found, np.repeat(extractor(images[1]), 12, axis=0), atol=1e-4)
    assert failing.failure.startswith("cuda:0 failed")


def test_spare_engine_of_another_network_is_refused(
    checkpoint: Path, images: list[np.ndarray], tmp_path: Path
) -> None:
    network = load_checkpoint(checkpoint)
    network.netvlad.centroids.data.add_(0.1)
    save_checkpoint(network, tmp_path / "other.safetensors")
    gpu = FailingEngine(open_engine(checkpoint, "cpu"), _FAILURES[1])
    failing = Extractor(gpu, 1, partial(open_engine, tmp_path / "other.safetensors", "cpu"))
    with pytest.raises(CheckpointError, match=r"cuda:0 failed .*unspecified launch failure.* is .* now"):
        failing(images[0])


def test_what_is_no_device_or_has_no_spare_engine_is_one_sentence(
    extractor: Extractor, images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NetvladError, match=r"cuda:0 cannot run the network .*: CUDA error: unspecified"):
        Extractor(FailingEngine(extractor.engine, _FAILURES[1]))(images[0])
    broken = FailingEngine(extractor.engine, ValueError("Non-zero status code\nand advice"))
    monkeypatch.setattr(broken, "device", "CPU (ONNX Runtime, 2 threads)")
    with pytest.raises(NetvladError, match=r"2 threads\) cannot run .*: ValueError: Non-zero status code$"):
        Extractor(broken, spare=lambda: extractor.engine)(images[0])


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (np.full((1, 896), np.nan, np.float32), "that are not finite"),
        (np.full((1, 896), 1.0, np.float32), "that are not of length 1"),
        (np.zeros((1, 896), np.float32), "that are not of length 1"),
        (np.zeros((1, 895), np.float32), r"of the shape \(1, 895\), expected \(1, 896\)"),
    ],
)
def test_what_is_no_descriptor_never_leaves(
    found: np.ndarray, fault: str, checkpoint: Path, images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = Extractor.load(checkpoint, "cpu")
    monkeypatch.setattr(loaded.engine, "describe", lambda _: found)
    with pytest.raises(CheckpointError, match=f"gives descriptors {fault}, on cpu in float32"):
        loaded(images[0])
