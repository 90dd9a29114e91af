"""An engine on a GPU that gives up, for machines without one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from netvlad_core.model.engine import Engine


class FailingEngine(Engine):
    """Runs another engine and says that it is a GPU, whose memory or driver fails.

    Parameters
    ----------
    works : number of calls that are answered; all later ones raise `error`.
    most_images : a call with more images raises `error`, too.
    """

    def __init__(self, engine: Engine, error: Exception, works: int = 0, most_images: int = 1000) -> None:
        self.model_id, self.spec, self.precision = engine.model_id, engine.spec, engine.precision
        self.device = "cuda:0"
        self.calls: list[int] = []
        self._engine, self._error, self._works, self._most = engine, error, works, most_images

    def describe(self, images: Sequence[np.ndarray]) -> np.ndarray:
        self.calls.append(len(images))
        if len(self.calls) > self._works or len(images) > self._most:
            raise self._error
        return self._engine.describe(images)
