"""What is compared, and what is said if a project cannot be run; the projects themselves are not needed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import peers
from benchmarks._peer import Task, stand_ins


def test_missing_folder_leaves_the_project_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["peers", "--nanne", str(tmp_path / "away")])
    peers.main()
    said = capsys.readouterr().out
    assert f"Nanne/pytorch-NetVlad, VGG16: left out, no folder {tmp_path / 'away'}" in said
    assert "hloc, VGG16, whitening: left out, no --hloc DIR" in said
    assert "measured" not in said


def test_folder_without_the_project_is_named(tmp_path: Path) -> None:
    task = Task("patch", tmp_path, {"numbers": "0"}, "cpu", writes=True)
    with (
        pytest.raises(peers.PeerError, match=r"cannot be imported from .*No module named 'patchnetvlad'"),
        peers.running(task, tmp_path),
    ):
        pass


def _runs() -> list[peers.Run]:
    theirs = [np.array([0.6, 0.8]), np.array([1.0, 0.0]), np.array([0.0, 1.0])]
    by_torch = [np.array([0.6, 0.8 + 2e-6]), np.array([1.0, -5e-6]), np.array([1e-6, 1.0])]
    by_default = [np.array([0.6, 0.8]), np.array([0.99, 0.1]), np.array([0.0, 1.0])]
    return [
        peers.Run(theirs, (0.4, 4.0, 0.4), (900.0, 700.0)),
        peers.Run(by_torch, (0.2, 2.0, 0.4), (800.0, 600.0)),
        peers.Run(by_default, (0.1, 0.5, 0.1), (500.0, 400.0)),
    ]


def test_rows_hold_the_largest_differences_and_the_median_of_the_rounds() -> None:
    case = peers.CASES[0]
    names = [case.name, case.network]
    assert peers.agreement_row(case, _runs()) == [*names, "2", "2.0e-06", "5.0e-06", "1.0e-06", "1.0e-01"]
    # The slow second round slows all three and leaves their ratios alone.
    assert peers.cost_row(case, _runs()) == [
        *names, "400", "400", "2.0", "100", "4.0", "900 / 700", "800 / 600", "500 / 400",
    ]  # fmt: skip


def test_float32_has_to_agree() -> None:
    theirs, by_torch, by_default = _runs()
    assert peers.agree([theirs, by_torch, by_default])
    assert not peers.agree([theirs, by_default, by_torch])


def test_stand_in_can_be_imported_and_not_used() -> None:
    with stand_ins(("netvlad_absent.deep.module", "json")) as absent:
        from netvlad_absent.deep.module import Anything, decorator  # type: ignore[import-not-found]

        @decorator
        def function() -> None: ...

    assert absent == ["netvlad_absent.deep.module"]
    with pytest.raises(ImportError, match="not installed"):
        function()
    assert not hasattr(Anything(3), "fit")
    assert not [name for name in sys.modules if name.startswith("netvlad_absent")]
