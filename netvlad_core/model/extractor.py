"""Images in, descriptors out, whatever runs the network: torch, or ONNX Runtime without torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from netvlad_core.errors import CheckpointError, NetvladError
from netvlad_core.model.backbones import PACKAGED_NETWORK
from netvlad_core.model.engine import Engine
from netvlad_core.model.preprocessing import as_rgb
from netvlad_core.model.spec import PRECISIONS

if TYPE_CHECKING:
    from netvlad_core.model.network import PlaceNetwork

Images = np.ndarray | Sequence[np.ndarray]


class Extractor:
    """Computes global descriptors; deterministic for a given device, precision and batch.

    `Extractor.load` opens a file, `Extractor.of` takes a network.

    Parameters
    ----------
    engine : runs the network.
    batch_size : images that go through the network together; default: what suits the device.

    Attributes
    ----------
    engine, batch_size : as given.
    model_id, spec, device, precision : those of the engine.
    dimension : D of the descriptors.

    Examples
    --------
    >>> from netvlad_core import Extractor, open_source
    >>> extractor = Extractor.load(device="cpu")  # the network that comes with this package
    >>> first, *_, last = (frame.decode() for frame in open_source("drive/catalogue.csv"))
    >>> descriptors = extractor([first, last])
    >>> descriptors.shape, bool(descriptors[0] @ descriptors[1] < 0.9)
    ((2, 7168), True)
    """

    def __init__(self, engine: Engine, batch_size: int | None = None) -> None:
        self.engine = engine
        self.model_id, self.spec = engine.model_id, engine.spec
        self.device, self.precision = engine.device, engine.precision
        self.dimension = self.spec.dimension
        # On a CPU the activations of a single image stay in its caches; eight together run at half the speed.
        self.batch_size = batch_size or (1 if self.device.lower().startswith("cpu") else 16)

    @classmethod
    def of(
        cls,
        network: PlaceNetwork,
        device: str = "auto",
        batch_size: int | None = None,
        precision: str = "float32",
    ) -> Extractor:
        """Run a network by torch; parameters as in `TorchEngine`."""
        from netvlad_core.model.torch_engine import TorchEngine

        return cls(TorchEngine(network, device, precision), batch_size)

    @classmethod
    def load(
        cls,
        weights: Path | str = PACKAGED_NETWORK,
        device: str = "auto",
        batch_size: int | None = None,
        precision: str = "auto",
    ) -> Extractor:
        """Open a checkpoint, or an ONNX file that `netvlad export` has written.

        Parameters
        ----------
        weights : checkpoint, or ONNX file; default: the network of this package.
        device : "auto" (CUDA if there is one), "cpu", "cuda", "cuda:1", ...
        precision : one of PRECISIONS; "auto" takes the file's own, float32 for a checkpoint. What the file
            cannot do here (int8 and, on a machine without torch, any checkpoint) is looked for beside it: a
            file like `model.int8.onnx` for `model.safetensors`.

        Raises
        ------
        CheckpointError
            If there is no file, it is damaged, or there is none for the precision.
        """
        path = Path(weights)
        if precision not in ("auto", *PRECISIONS):
            raise NetvladError(f"unknown precision {precision!r}; there are: auto, {', '.join(PRECISIONS)}")
        wanted = "float32" if precision == "auto" else precision
        if path.suffix != ".onnx" and precision != "int8" and _has_torch():
            from netvlad_core.model.checkpoints import load_checkpoint

            return cls.of(load_checkpoint(path), device, batch_size, wanted)
        from netvlad_core.model.onnx_engine import OnnxEngine

        engine = OnnxEngine(path, device) if path.suffix == ".onnx" else None
        if engine is None or precision not in ("auto", engine.precision):
            engine = OnnxEngine(_existing_variant(path, wanted), device)
        return cls(engine, batch_size)

    def __call__(self, images: Images) -> np.ndarray:
        """Descriptors of one image, of a list of differently sized images, or of a batch.

        Parameters
        ----------
        images : (H, W, 3) uint8 RGB or (H, W) uint8 grey, a sequence of those in any sizes, or (N, H, W, 3).

        Returns
        -------
        (N, D) float32, L2-normalised; N = 1 for one image.

        Raises
        ------
        ImageError
            If an array is no uint8 image or a side is shorter than 16 pixels.
        """
        listed = [images] if isinstance(images, np.ndarray) and images.ndim in (2, 3) else images
        batch = [as_rgb(image) for image in listed]
        descriptors = np.empty((len(batch), self.dimension), dtype=np.float32)
        by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, image in enumerate(batch):
            by_shape[image.shape].append(index)
        for indices in by_shape.values():
            for start in range(0, len(indices), self.batch_size):
                rows = indices[start : start + self.batch_size]
                descriptors[rows] = self.engine.describe([batch[row] for row in rows])
        return descriptors


def variant_path(weights: Path, precision: str) -> Path:
    """Path of the ONNX file of a precision, beside the weights that it was made from."""
    name = weights.stem
    for suffix in PRECISIONS:
        name = name.removesuffix(f".{suffix}")
    return weights.with_name(f"{name}.{precision}.onnx")


def _existing_variant(weights: Path, precision: str) -> Path:
    if precision == "bfloat16":
        raise CheckpointError(f"only torch runs bfloat16, from a checkpoint; {weights} cannot be run so here")
    variant = variant_path(weights, precision)
    if variant.is_file():
        return variant
    without = "" if _has_torch() else " without torch"
    example = "SOURCE " if precision == "int8" else ""
    raise CheckpointError(
        f"{weights} cannot run in {precision}{without}, and there is no {variant}; make it on a machine "
        f"with torch: netvlad export {weights} {example}--precision {precision}"
    )


def _has_torch() -> bool:
    return find_spec("torch") is not None
