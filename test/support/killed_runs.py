"""Program: FOLDER KILL...; train `whole` at once, and `parts` in parts: each KILL ends one.

A KILL is `step N` (before the row of that step is logged), `write N` (the Nth piece of the descriptor cache)
or `fsync N` (the Nth state, before it gets its name), counted in its part. Each part is a process of its own,
forked from this one before torch has started any thread.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.figure  # noqa: F401  # what takes long to import, once for all children
import torch

from netvlad_core.training.cache import DescriptorCache
from netvlad_core.training.config import TrainingConfig
from netvlad_core.training.metrics import Metrics
from netvlad_core.training.run import train


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(kill: str) -> None:
    """Make this process die at some point of the training."""
    what, number = kill.split()
    calls = 0
    add, write, fsync = Metrics.add, DescriptorCache.write, os.fsync

    def counted(function: Any) -> Any:
        def call(*arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            return die() if calls == int(number) else function(*arguments)

        return call

    def add_or_die(self: Metrics, values: Mapping[str, Any]) -> None:
        return die() if values["step"] == int(number) else add(self, values)

    if what == "step":
        Metrics.add = add_or_die  # type: ignore[method-assign]
    elif what == "write":
        DescriptorCache.write = counted(write)  # type: ignore[method-assign]
    else:
        os.fsync = counted(fsync)


def run(config: TrainingConfig, folder: Path, kill: str | None = None, resume: bool = False) -> int:
    """Train in a child process; returns the status that it ended with."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if kill:
        arm(kill)
    code = 1
    try:
        train(config, folder, resume, progress=False)
        code = 0
    finally:
        sys.stdout.flush()
        os._exit(code)


def main() -> None:
    folder = Path(sys.argv[1])
    options = json.loads((folder / "config.json").read_text())
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    config = TrainingConfig(**values)
    torch.optim.SGD([torch.zeros(1)])  # imports a second's worth of modules
    assert run(config, folder / "whole") == 0
    for number, kill in enumerate(sys.argv[2:]):
        code = run(config, folder / "parts", kill, resume=number > 0)
        assert code == -signal.SIGKILL, f"the part ended with {code} instead of dying at {kill}"
    assert run(config, folder / "parts", resume=True) == 0


if __name__ == "__main__":
    main()
