"""Images in, descriptors out, whatever engine runs the network."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from netvlad_core.errors import CheckpointError, NetvladError
from netvlad_core.model.backbones import PACKAGED_NETWORK
from netvlad_core.model.engine import Engine, check_descriptors
from netvlad_core.model.open_engine import open_engine
from netvlad_core.model.preprocessing import as_rgb

if TYPE_CHECKING:
    from netvlad_core.model.network import PlaceNetwork

_log = logging.getLogger(__name__)

Images = np.ndarray | Sequence[np.ndarray]

# In what torch and ONNX Runtime raise when a GPU has no memory left, or is gone.
_GPU_ERROR = re.compile(r"cuda|cudnn|cublas|tensorrt|nvrtc|accelerator|OutOfMemoryError", re.IGNORECASE)
_NO_MEMORY = re.compile(r"out of memory|OutOfMemory|MemoryError|alloc", re.IGNORECASE)


class Extractor:
    """Computes global descriptors; deterministic for a given device, precision and batch.

    `Extractor.load` opens a file, `Extractor.of` takes a network. When a GPU has no memory for a batch, half
    of it goes through at a time; when it has none for one image, or is gone, the spare engine takes over for
    good. Several threads may call at once.

    Parameters
    ----------
    engine : runs the network.
    batch_size : images that go through the network together; default: what suits the device.
    spare : opens an engine of the same network that needs no GPU; None if there is no file to open.

    Attributes
    ----------
    engine : the one that runs the network now.
    model_id, spec : those of the engine.
    dimension : D of the descriptors.
    failure : why the first engine no longer runs the network; empty while it does.

    Examples
    --------
    >>> from netvlad_core import Extractor, open_source
    >>> extractor = Extractor.load(device="cpu")  # the network that comes with this package
    >>> first, *_, last = (frame.decode() for frame in open_source("drive/catalogue.csv"))
    >>> descriptors = extractor([first, last])
    >>> descriptors.shape, bool(descriptors[0] @ descriptors[1] < 0.9)
    ((2, 7168), True)
    """

    def __init__(
        self, engine: Engine, batch_size: int | None = None, spare: Callable[[], Engine] | None = None
    ) -> None:
        self.engine = engine
        self.model_id, self.spec = engine.model_id, engine.spec
        self.dimension = self.spec.dimension
        self.failure = ""
        self._batch_size, self._most_at_once = batch_size, 2**31
        self._spare = spare
        self._lock = Lock()

    @property
    def device(self) -> str:
        """Device of the engine, for display."""
        return self.engine.device

    @property
    def precision(self) -> str:
        """Precision of the engine."""
        return self.engine.precision

    @property
    def runs_on(self) -> str:
        """Device and precision, for display."""
        return f"{self.device} in {self.precision}"

    @property
    def batch_size(self) -> int:
        """Images that go through the network together."""
        # On a CPU the activations of a single image stay in its caches; eight together run at half the speed.
        return min(self._batch_size or (1 if _is_cpu(self.engine) else 16), self._most_at_once)

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
        path, failure = Path(weights), ""
        try:
            opened = open_engine(path, device, precision, engine)
        except NetvladError:
            raise
        except Exception as error:
            failure = _reason(error)
            if not _GPU_ERROR.search(failure):
                raise
            opened = open_engine(path, "cpu")
            _log.warning("the GPU failed: %s; the network runs on %s", failure, opened.device)
        extractor = cls(opened, batch_size, lambda: open_engine(path, "cpu"))
        extractor.failure = failure and f"the GPU failed: {failure}"
        if not opened.is_whole:
            extractor.try_out()
        return extractor

    def try_out(self) -> None:
        """Describe an image of a usual size: the first is slow, and shows whether the network can run.

        Raises CheckpointError or NetvladError if it cannot.
        """
        self(np.zeros((480, 640, 3), np.uint8))

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
        CheckpointError
            If the network gives no descriptors of unit length.
        NetvladError
            If the engine cannot run it, and there is no spare one.
        """
        listed = [images] if isinstance(images, np.ndarray) and images.ndim in (2, 3) else images
        batch = [as_rgb(image) for image in listed]
        descriptors = np.empty((len(batch), self.dimension), dtype=np.float32)
        by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, image in enumerate(batch):
            by_shape[image.shape].append(index)
        for indices in by_shape.values():
            while indices:
                rows, indices = indices[: self.batch_size], indices[self.batch_size :]
                descriptors[rows] = self._describe([batch[row] for row in rows])
        return descriptors

    def _describe(self, images: list[np.ndarray]) -> np.ndarray:
        engine = self.engine
        try:
            found = engine.describe(images)
        except NetvladError:
            raise
        except Exception as error:  # each engine raises its own classes
            reason = _reason(error)
        else:
            check_descriptors(found, len(images), engine)
            return found
        # Outside of the handler, whose traceback keeps the failed attempt in memory.
        if _is_cpu(engine) and not _GPU_ERROR.search(reason):
            raise NetvladError(f"{engine.device} cannot run the network {self.model_id}: {reason}")
        if len(images) > 1 and _NO_MEMORY.search(reason):
            half = self._most_at_once = len(images) // 2
            _log.warning("no memory for %d images at once on %s: %d now", len(images), engine.device, half)
            return np.concatenate([self._describe(images[:half]), self._describe(images[half:])])
        self._replace(engine, reason)
        return self._describe(images)

    def _replace(self, engine: Engine, reason: str) -> None:
        """Have the spare engine take over, unless another thread has seen to that."""
        with self._lock:
            if self.engine is not engine:
                return
            if self._spare is None:
                raise NetvladError(f"{engine.device} cannot run the network {self.model_id}: {reason}")
            spare, self._spare = self._spare(), None
            if spare.model_id != self.model_id:
                raise CheckpointError(
                    f"{engine.device} failed ({reason}), and the file of the network {self.model_id} is "
                    f"{spare.model_id} now"
                )
            self.failure = f"{engine.device} failed: {reason}"
            self.engine, self._most_at_once = spare, 2**31
        _log.warning("%s; from now on the network runs on %s", self.failure, self.runs_on)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _is_cpu(engine: Engine) -> bool:
    return engine.device.lower().startswith("cpu")
