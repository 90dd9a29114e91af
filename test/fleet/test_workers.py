"""Tasks on real processes of Ray: results, errors as sentences, processes that die."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import ModuleType

import pytest

from netvlad_core.errors import NetvladError
from netvlad_core.fleet.workers import open_workers


def test_every_task_has_a_result(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is in no environment that is made here: pip install ray")

    def task(item: tuple[str, Path]) -> int:  # inside, so that it travels as code
        kind, marker = item
        if kind == "refused":
            raise NetvladError("no such drive")
        if kind == "full disk":
            raise OSError(28, "No space left on device", str(marker))
        if kind == "dies always" or (kind == "dies once" and not marker.exists()):
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return os.getpid()

    kinds = ("good", "refused", "full disk", "dies once", "dies always")
    with open_workers(count=2) as workers:
        items = [(kind, tmp_path / kind) for kind in kinds]
        results = {item[0]: result for item, result in workers.run(task, items, "tests", progress=False)}
    assert set(results) == set(kinds)
    assert isinstance(results["good"], int)
    assert isinstance(results["dies once"], int)
    assert results["good"] != os.getpid()
    assert str(results["refused"]) == "no such drive"
    assert "No space left" in str(results["full disk"])
    assert "has died 4 times" in str(results["dies always"])


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "127.0.0.1:port"])
def test_no_cluster_at_the_address(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", sys.modules.get("ray", ModuleType("ray")))
    with pytest.raises(NetvladError, match="no cluster of Ray answers at"), open_workers(address):
        pass


def test_without_ray_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(NetvladError, match="pip install ray"), open_workers():
        pass
