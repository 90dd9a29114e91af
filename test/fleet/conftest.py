"""Stores of a fleet: a folder, and a bucket of an S3 server on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.s3 import s3_server


@pytest.fixture(params=["folder", "s3"])
def location(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Where a store may be made; there is none yet."""
    pytest.importorskip("lancedb", reason="LanceDB is not installed")
    pytest.importorskip("obstore", reason="obstore is not installed")
    if request.param == "folder":
        yield str(tmp_path / "the store")
    else:
        with s3_server(monkeypatch) as bucket:
            yield bucket


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """The same, only a folder."""
    pytest.importorskip("lancedb", reason="LanceDB is not installed")
    pytest.importorskip("obstore", reason="obstore is not installed")
    return str(tmp_path / "store")
