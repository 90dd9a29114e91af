"""What all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

_SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real images and bags beside the repository."""
    if not _SHARED_DATA.is_dir():
        pytest.skip("the real images and bags of ../shared/data are not here")
    return _SHARED_DATA
