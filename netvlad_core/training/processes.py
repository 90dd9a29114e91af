"""The processes that torchrun has started, or the only one."""

from __future__ import annotations

import os
from datetime import timedelta

import numpy as np
import torch
from torch import Tensor, distributed

from netvlad_core.model.torch_engine import find_device

# The first process may fit clusters or validate for a long time while the others wait.
_PATIENCE = timedelta(hours=6)


class Processes:
    """What the processes of one run share.

    Attributes
    ----------
    rank, count : number of this process, from 0, and number of all.
    device : device of this process; with CUDA, a GPU for each process of a machine.
    """

    def __init__(self, device: str = "auto") -> None:
        self.rank = int(os.environ.get("RANK", "0"))
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self.device = find_device(device)
        if self.device.type == "cuda" and self.device.index is None:
            self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            torch.cuda.set_device(self.device)
        if self.count > 1 and not distributed.is_initialized():
            backend = "nccl" if self.device.type == "cuda" else "gloo"
            distributed.init_process_group(backend, timeout=_PATIENCE)

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes files and reports."""
        return self.rank == 0

    def share(self, rows: np.ndarray) -> np.ndarray:
        """This process' part of some rows."""
        return rows[self.rank :: self.count]

    def sum(self, tensor: Tensor) -> Tensor:
        """Add up a tensor over all processes, in place."""
        if self.count > 1:
            distributed.all_reduce(tensor)
        return tensor

    def sum_array(self, array: np.ndarray) -> np.ndarray:
        """The sum of an array over all processes."""
        if self.count == 1:
            return array
        return self.sum(torch.from_numpy(array).to(self.device)).cpu().numpy()

    def wait(self) -> None:
        """Go on when all processes have come here."""
        if self.count > 1:
            distributed.barrier()

    def close(self) -> None:
        if distributed.is_initialized():
            distributed.destroy_process_group()
