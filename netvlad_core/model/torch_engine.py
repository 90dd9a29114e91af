"""A network run by torch, on any of its devices and in several precisions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from netvlad_core.errors import NetvladError
from netvlad_core.model.engine import Engine, allowed_threads
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.preprocessing import Preprocessing, area_weights, scaled_size
from netvlad_core.model.spec import TORCH_PRECISIONS


class TorchEngine(Engine):
    """Runs a PlaceNetwork.

    Parameters
    ----------
    network : moved to the device and set to evaluation.
    device : "auto" (CUDA if there is one), "cpu", "cuda", "cuda:1", ...
    precision : one of TORCH_PRECISIONS, for the backbone; NetVLAD and whitening stay in float32.
    """

    def __init__(self, network: PlaceNetwork, device: str = "auto", precision: str = "float32") -> None:
        if precision not in TORCH_PRECISIONS:
            known = ", ".join(TORCH_PRECISIONS)
            raise NetvladError(f"torch runs {known}, not {precision!r}; int8 needs a calibrated ONNX file")
        self._device = find_device(device)
        self._network = network.eval().to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.device = str(self._device)
        self.precision = precision
        self.model_id = network.fingerprint()
        self.spec = network.spec

    @torch.inference_mode()
    def describe(self, images: Sequence[np.ndarray]) -> np.ndarray:
        inputs = preprocess(images, self.spec.preprocessing, self._device)
        return run_network(self._network, inputs, self.precision).cpu().numpy()

    @contextmanager
    def serving(self, workers: int) -> Iterator[Callable[[], None]]:
        before, each = torch.get_num_threads(), max(1, allowed_threads() // workers)
        try:
            # OpenMP keeps this number for each thread.
            yield lambda: torch.set_num_threads(each)
        finally:
            torch.set_num_threads(before)


def run_network(network: PlaceNetwork, inputs: Tensor, precision: str) -> Tensor:
    """Descriptors (B, D) float32 of preprocessed images (B, 3, h, w), the backbone in a torch precision."""
    is_single = precision == "float32"
    with nullcontext() if is_single else torch.autocast(inputs.device.type, getattr(torch, precision)):
        features = network.backbone(inputs)
    return network.aggregate(features.float())


@torch.inference_mode()
def preprocess(images: Sequence[np.ndarray], preprocessing: Preprocessing, device: torch.device) -> Tensor:
    """Bring images of one size to the network's input, on the device.

    B arrays (H, W, 3) uint8 RGB become (B, 3, h, w) float32, channels last in memory.
    """
    stacked = torch.from_numpy(np.stack(images)).to(device).permute(0, 3, 1, 2)
    size = scaled_size(stacked.shape[2], stacked.shape[3], preprocessing)
    if size != tuple(stacked.shape[2:]):
        stacked = _resize(stacked, size, preprocessing.filter)
    normalisation = torch.tensor([preprocessing.mean, preprocessing.std], device=device)
    mean, std = normalisation.view(2, 1, 3, 1, 1)
    return ((stacked.float() - mean) / std).contiguous(memory_format=torch.channels_last)


def _resize(images: Tensor, size: tuple[int, int], kind: str) -> Tensor:
    if kind == "area":
        rows, columns = (
            torch.from_numpy(area_weights(old, new)).to(images.device)
            for old, new in zip(images.shape[2:], size)
        )
        return rows @ images.float() @ columns.T
    if kind == "bilinear":
        return functional.interpolate(images.float(), size=size, mode="bilinear")
    # The uint8 kernel of the CPU is several times as fast as the float one.
    is_rounded = kind == "antialias" and images.device.type == "cpu"
    source = images if is_rounded else images.float()
    return functional.interpolate(source, size=size, mode="bilinear", antialias=True)


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
