"""A part of the faults of `make faults`, the same ones each time: all are survived."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults import fuzzing
from faults.__main__ import CLASSES
from faults.trial import Bad, Fault, run

_SEED = 0
# So that the classes take a few seconds each.
_SHARES = {
    "map_json": 0.03,
    "map_files": 0.1,
    "pictures": 0.1,
    "messages": 0.1,
    "texts": 0.1,
    "bags": 0.04,
    "networks": 0.1,
    "open_maps": 0.15,
    "node": 0.015,
    "services": 0.003,
    "tables": 0.2,
    "killed": 0.03,
    "care": 0.025,
    "together": 0.1,
    "full_disks": 0.03,
    "foreign_networks": 0.1,
}
# Programs and nodes that are started again and again, disks to be mounted, a fuzzer: they take minutes.
_NOT_HERE = {
    "fuzzed", "small_disks", "saves", "trainings", "states", "clocks", "restarts", "two_nodes", "node_saves",
    "fleets",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CLASSES.keys() - _NOT_HERE))
def test_every_fault_is_survived(name: str, tmp_path: Path) -> None:
    report = run(name, CLASSES[name], _SEED, tmp_path, _SHARES.get(name, 1.0), only=None)
    assert not report.bad
    assert report.injected > 0


def test_what_is_not_survived_is_told(tmp_path: Path) -> None:
    def wrong() -> None:
        raise Bad("silent: another answer")

    def large() -> bytes:
        return b"x" * (200 << 20)

    trials = {"right": lambda: None, "crash": lambda: int("x"), "silent": wrong, "growth": large}
    report = run(
        "some", lambda *_: (Fault(name, trial) for name, trial in trials.items()), 1, tmp_path, 1.0, None
    )
    assert (report.injected, report.refused) == (4, 0)
    assert [kind for kind, *_ in report.bad] == ["crash", "silent", "growth"]
    assert report.kinds == "1 crash, 1 silent, 1 growth"
    again = run(
        "some", lambda *_: (Fault(name, trial) for name, trial in trials.items()), 1, tmp_path, 1.0, 1
    )
    assert [fault for _, fault, _ in again.bad] == ["#1 crash"]


def test_without_the_fuzzer_its_class_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fuzzing, "find_spec", lambda _: None)
    assert run("fuzzed", CLASSES["fuzzed"], _SEED, tmp_path, 1.0, None).injected == 0
    assert capsys.readouterr().out == "fuzzed: the package atheris is not installed, so nothing is tried\n"
