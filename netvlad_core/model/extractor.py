"""Images in, descriptors out, whatever engine runs the network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from netvlad_core.model.backbones import PACKAGED_NETWORK
from netvlad_core.model.engine import Engine
from netvlad_core.model.open_engine import open_engine
from netvlad_core.model.preprocessing import as_rgb

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
    runs_on : device and precision, for display.
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
        self.runs_on = f"{self.device} in {self.precision}"
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
        engine: str = "auto",
    ) -> Extractor:
        """Open a checkpoint, or an ONNX file that `netvlad export` has written.

        Parameters
        ----------
        weights : checkpoint, or ONNX file; default: the network of this package.
        device, precision, engine : as in `open_engine`.

        Raises
        ------
        CheckpointError
            If there is no file, it is damaged, or nothing here can run it in the precision.
        """
        return cls(open_engine(Path(weights), device, precision, engine), batch_size)

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
