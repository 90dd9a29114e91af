"""Images in, descriptors out: the one place that resizes, normalises and knows the device."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from netvlad_core.errors import ImageError, NetvladError
from netvlad_core.model.backbones import Preprocessing
from netvlad_core.model.checkpoints import load_checkpoint
from netvlad_core.model.network import PlaceNetwork

Images = np.ndarray | Sequence[np.ndarray]

_SMALLEST_SIDE = 16


class Extractor:
    """Computes global descriptors; deterministic for a given device and batch.

    Parameters
    ----------
    network : moved to the device and set to evaluation.
    device : "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", ...
    batch_size : images that go through the network together.

    Attributes
    ----------
    model_id : fingerprint of the network.
    dimension : D of the descriptors.
    """

    def __init__(self, network: PlaceNetwork, device: str = "auto", batch_size: int = 8) -> None:
        self.device = find_device(device)
        self.batch_size = batch_size
        self.model_id = network.fingerprint()
        self.dimension = network.spec.dimension
        self.network = network.eval().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def load(cls, weights: Path | str, device: str = "auto", batch_size: int = 8) -> Extractor:
        """Read a checkpoint; raises CheckpointError."""
        return cls(load_checkpoint(Path(weights)), device, batch_size)

    @torch.inference_mode()
    def __call__(self, images: Images) -> np.ndarray:
        """Descriptors of one image, of a list of differently sized images, or of a batch.

        Parameters
        ----------
        images : (H, W, 3) uint8 RGB, a sequence of those, or (N, H, W, 3).

        Returns
        -------
        (N, D) float32, L2-normalised; N = 1 for one image.

        Raises
        ------
        ImageError
            If an array is not uint8 (H, W, 3) or a side is shorter than 16 pixels.
        """
        batch = _as_list(images)
        descriptors = np.empty((len(batch), self.dimension), dtype=np.float32)
        by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, image in enumerate(batch):
            by_shape[image.shape].append(index)
        for indices in by_shape.values():
            for start in range(0, len(indices), self.batch_size):
                rows = indices[start : start + self.batch_size]
                inputs = preprocess(
                    [batch[row] for row in rows], self.network.spec.preprocessing, self.device
                )
                descriptors[rows] = self.network(inputs).float().cpu().numpy()
        return descriptors


def check_image(image: np.ndarray) -> None:
    """Refuse what the extractor cannot describe: raises ImageError unless uint8 (H, W, 3) with enough pixels."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ImageError(f"expected uint8 RGB (H, W, 3); found {image.dtype} {image.shape}")
    if min(image.shape[:2]) < _SMALLEST_SIDE:
        size = f"{image.shape[1]}x{image.shape[0]}"
        raise ImageError(
            f"an image of {size} pixels is too small to describe; expected at least {_SMALLEST_SIDE} a side"
        )


@torch.inference_mode()
def preprocess(images: Sequence[np.ndarray], preprocessing: Preprocessing, device: torch.device) -> Tensor:
    """Bring images of one size to the network's input, on the device.

    Parameters
    ----------
    images : B arrays (H, W, 3) uint8 RGB.

    Returns
    -------
    (B, 3, h, w) float32, channels last in memory.
    """
    stacked = torch.from_numpy(np.stack(images)).to(device).permute(0, 3, 1, 2)
    size = scaled_size(stacked.shape[2], stacked.shape[3], preprocessing.shorter_side)
    if size != tuple(stacked.shape[2:]):
        # The uint8 kernel of the CPU is several times as fast as the float one.
        source = stacked if device.type == "cpu" else stacked.float()
        stacked = functional.interpolate(source, size=size, mode="bilinear", antialias=True)
    mean, std = (
        torch.tensor(values, device=device).view(1, 3, 1, 1)
        for values in (preprocessing.mean, preprocessing.std)
    )
    return ((stacked.float() - mean) / std).contiguous(memory_format=torch.channels_last)


def scaled_size(height: int, width: int, shorter_side: int | None) -> tuple[int, int]:
    """Height and width in pixels after scaling the shorter side, aspect kept."""
    if shorter_side is None:
        return height, width
    scale = shorter_side / min(height, width)
    return round(height * scale), round(width * scale)


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


def _as_list(images: Images) -> list[np.ndarray]:
    batch = [images] if isinstance(images, np.ndarray) and images.ndim in (2, 3) else list(images)
    for image in batch:
        check_image(image)
    return batch
