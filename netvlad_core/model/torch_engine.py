"""A network run by torch, on any of its devices and in several precisions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache, partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from netvlad_core.errors import NetvladError
from netvlad_core.model.engine import Engine, allowed_threads
from netvlad_core.model.fused_layers import fuse_layers
from netvlad_core.model.gpu_path import GpuPath
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.preprocessing import Preprocessing, area_weights, resize, scaled_size
from netvlad_core.model.spec import TORCH_PRECISIONS


class TorchEngine(Engine):
    """Runs a PlaceNetwork.

    Parameters
    ----------
    network : moved to the device and set to evaluation.
    device : "auto" (CUDA if there is one), "cpu", "cuda", "cuda:1", ...
    precision : one of TORCH_PRECISIONS, for the backbone; aggregation and whitening stay in float32. "auto"
        is float16 on a GPU that multiplies matrices in it, else float32.
    is_own : whether nobody else has the network. Then a GPU fuses the backbone's layers, keeps the weights of
        backbone and whitening in the precision, multiplies in it and adds up in float32, and runs shapes that
        come again as graphs.
    """

    def __init__(
        self, network: PlaceNetwork, device: str = "auto", precision: str = "float32", is_own: bool = False
    ) -> None:
        if precision not in ("auto", *TORCH_PRECISIONS):
            known = ", ".join(TORCH_PRECISIONS)
            raise NetvladError(f"torch runs {known}, not {precision!r}; int8 needs a calibrated ONNX file")
        self._device = find_device(device)
        network.eval().to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.device = str(self._device)
        self.precision = _fastest(self._device) if precision == "auto" else precision
        self.model_id = network.fingerprint()
        self.spec = network.spec
        self._gpu_path: GpuPath | None = None
        # Not a method of this object, which would keep itself and the memory of the GPU.
        self._run = partial(_describe, network, self.precision)
        if self._device.type == "cuda":
            if is_own:
                network.backbone = fuse_layers(network.backbone)
                _keep_in(network, self.precision)
            self._gpu_path = GpuPath(self._run, self._device, has_graphs=is_own)

    @torch.inference_mode()
    def describe(self, images: Sequence[np.ndarray]) -> np.ndarray:
        if self._gpu_path is not None:
            return self._gpu_path(images)
        return self._run(torch.from_numpy(np.stack(images)).to(self._device)).cpu().numpy()

    @contextmanager
    def serving(self, workers: int) -> Iterator[Callable[[], None]]:
        before, each = torch.get_num_threads(), max(1, allowed_threads() // workers)
        try:
            # OpenMP keeps this number for each thread.
            yield lambda: torch.set_num_threads(each)
        finally:
            torch.set_num_threads(before)


def _describe(network: PlaceNetwork, precision: str, images: Tensor) -> Tensor:
    return run_network(network, to_input(images, network.spec.preprocessing), precision)


def run_network(network: PlaceNetwork, inputs: Tensor, precision: str) -> Tensor:
    """Descriptors (B, D) float32 of preprocessed images (B, 3, h, w), the backbone in a torch precision."""
    is_single = precision == "float32"
    with nullcontext() if is_single else torch.autocast(inputs.device.type, getattr(torch, precision)):
        features = network.backbone(inputs)
    return network.aggregate(features)


def _fastest(device: torch.device) -> str:
    is_fast = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)
    return "float16" if is_fast else "float32"


def _keep_in(network: PlaceNetwork, precision: str) -> None:
    """Have the weights of most of the work in a precision, for good."""
    if precision == "float32":
        torch.backends.cudnn.allow_tf32 = False  # float32 is no name for ten bits
        return
    for part in (network.backbone, network.whitening):
        part.to(getattr(torch, precision))


def preprocess(images: Sequence[np.ndarray], preprocessing: Preprocessing, device: torch.device) -> Tensor:
    """Bring images of one size to the network's input, on the device.

    B arrays (H, W, 3) uint8 RGB become (B, 3, h, w) float32, channels last in memory.
    """
    return to_input(torch.from_numpy(np.stack(images)).to(device), preprocessing)


@torch.inference_mode()
def to_input(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Images (B, H, W, 3) uint8 RGB, on any device, as (B, 3, h, w) float32, channels last in memory."""
    if images.device.type == "cpu" and (preprocessing.resize, preprocessing.filter) == ("exact", "antialias"):
        # Other projects resize by Pillow; torch's kernel is faster and rounds some pixels otherwise.
        images = torch.from_numpy(resize(list(images.numpy()), preprocessing))
    stacked = images.permute(0, 3, 1, 2)
    size = scaled_size(stacked.shape[2], stacked.shape[3], preprocessing)
    if size != tuple(stacked.shape[2:]):
        stacked = _resize(stacked, size, preprocessing.filter)
    mean, std = _normalisation(preprocessing, stacked.device)
    return ((stacked.float() - mean) / std).contiguous(memory_format=torch.channels_last)


def _resize(images: Tensor, size: tuple[int, int], kind: str) -> Tensor:
    if kind == "area":
        rows, columns = (_area_weights(old, new, images.device) for old, new in zip(images.shape[2:], size))
        return rows @ images.float() @ columns.T
    if kind == "bilinear":
        return functional.interpolate(images.float(), size=size, mode="bilinear")
    # The uint8 kernel of the CPU is several times as fast as the float one.
    is_rounded = kind == "antialias" and images.device.type == "cpu"
    source = images if is_rounded else images.float()
    mode = "bicubic" if kind == "bicubic" else "bilinear"
    return functional.interpolate(source, size=size, mode=mode, antialias=True)


# What a copy to a GPU would make each image wait for is kept there.
@lru_cache(maxsize=16)
def _normalisation(preprocessing: Preprocessing, device: torch.device) -> tuple[Tensor, Tensor]:
    mean, std = torch.tensor([preprocessing.mean, preprocessing.std], device=device).view(2, 1, 3, 1, 1)
    return mean, std


@lru_cache(maxsize=16)
def _area_weights(source: int, target: int, device: torch.device) -> Tensor:
    return torch.from_numpy(area_weights(source, target)).to(device)


def find_device(name: str) -> torch.device:
    """Resolve "auto"; raises NetvladError for a device that this machine does not have."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise NetvladError(f"cannot use the device {name!r}: {reason}; 'auto' takes what is there") from error
    return device
