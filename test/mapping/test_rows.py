"""Rows that stay on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netvlad_core.mapping.rows import StoredRows


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_rows_are_those_of_the_array(dtype: type, tmp_path: Path) -> None:
    array: np.ndarray = np.arange(60, dtype=dtype).reshape(12, 5)
    np.save(tmp_path / "a.npy", array)
    (tmp_path / "raw").write_bytes(array.tobytes())
    for rows in (StoredRows.of_npy(tmp_path / "a.npy"), StoredRows(tmp_path / "raw", dtype, (12, 5))):
        assert len(rows) == 12
        assert rows[:].dtype == np.float32
        np.testing.assert_array_equal(rows[3:7], array[3:7])
        np.testing.assert_array_equal(rows[10:99], array[10:])
        np.testing.assert_array_equal(rows[5:5], array[5:5])
        np.testing.assert_array_equal(rows[np.array([7, 0, 7])], array[[7, 0, 7]])
