"""What is made once for a whole test run, also if several processes share the tests (pytest-xdist)."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import gettempdir
from typing import TextIO

import pytest

_DOMAINS = range(1, 101)  # those whose ports lie below the ones that Linux gives to clients
_reserved: list[TextIO] = []


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that `make(folder)` has filled in the first process that asked; the others wait.

    No test may change what lies in it.
    """
    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = base / "shared" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder.with_suffix(".done")
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


def reserve_domain() -> None:
    """Set ROS_DOMAIN_ID to one that no other test process of this machine has until this one ends."""
    for number in sorted(_DOMAINS, key=lambda number: (number - os.getpid()) % len(_DOMAINS)):
        with suppress(OSError):  # taken, or another user's file
            lock = (Path(gettempdir()) / f"netvlad_test_domain_{number}").open("w")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _reserved.append(lock)
            os.environ["ROS_DOMAIN_ID"] = str(number)
            return
    raise RuntimeError(f"all of the {len(_DOMAINS)} ROS domains are taken by other test processes")
