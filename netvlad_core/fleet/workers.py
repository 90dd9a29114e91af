"""Worker processes of Ray: the cores of this machine, or a cluster; the one place that imports it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from netvlad_core.errors import NetvladError
from netvlad_core.progress import bar

# A task whose process dies is started again: one that runs out of memory each time should come to an end.
_RETRIES = 3
_SECONDS = 10.0  # to reach the head of a cluster
_LOCAL: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}


class Workers:
    """Processes of Ray that run functions, one core each; `open_workers` opens them."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray

    def run(
        self, function: Callable[[Any], Any], items: Sequence[Any], title: str, progress: bool = True
    ) -> Iterator[tuple[Any, Any]]:
        """Call a function with each item, and yield item and result in the order in which they end.

        The result is a NetvladError if the function has raised one or an OSError, or if its process died
        again and again. If the iteration is left, what runs is cancelled.
        """
        task = self._ray.remote(num_cpus=1, max_retries=_RETRIES)(function)
        running = {task.remote(item): item for item in items}
        with bar(title=title, total=len(items), unit="drive", show=progress) as shown:
            try:
                while running:
                    ended, _ = self._ray.wait(list(running))
                    item = running.pop(ended[0])
                    shown.update()
                    yield item, self._result(ended[0])
            finally:
                for task_id in running:
                    self._ray.cancel(task_id, force=True)

    def _result(self, task_id: Any) -> Any:
        try:
            return self._ray.get(task_id)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, NetvladError | OSError):
                return NetvladError(str(error.cause))
            raise
        except self._ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[0]
            return NetvladError(f"its process has died {_RETRIES + 1} times: {reason}")


@contextmanager
def open_workers(address: str | None = None, count: int | None = None) -> Iterator[Workers]:
    """Start worker processes on this machine, or join a cluster, until the block ends.

    Parameters
    ----------
    address : of the head of a cluster that runs, `HOST:PORT` or `auto`; None starts processes here.
    count : number of processes here; None takes one for each core. A cluster has its own.

    Raises
    ------
    NetvladError
        If Ray is not installed, or there is no cluster at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would tell its makers
    try:
        import ray
    except ModuleNotFoundError as error:
        raise NetvladError(
            "many drives at once are built by Ray: install it with `pip install 'netvlad_core[fleet]'` or "
            "`pip install ray`, or build one map after the other with `netvlad build-map`"
        ) from error
    place: dict[str, Any] = {"address": address} if address else {"address": "local", "num_cpus": count}
    try:
        _reach(address)
        ray.init(**place, **_LOCAL)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        where = f"no cluster of Ray answers at {address}" if address else "Ray cannot start here"
        raise NetvladError(f"{where}: {reason}") from error
    try:
        yield Workers(ray)
    finally:
        ray.shutdown()


def _reach(address: str | None) -> None:
    """Raise OSError or ValueError unless somebody listens at HOST:PORT: Ray itself tries for minutes."""
    if address and address != "auto":
        host, _, port = address.rpartition(":")
        socket.create_connection((host, int(port)), _SECONDS).close()
