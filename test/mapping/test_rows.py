"""Rows that stay on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netvlad_core.errors import MapError
from netvlad_core.mapping.rows import StoredRows, load_array
from netvlad_core.mapping.stored_file import StoredFile


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
        np.testing.assert_array_equal(rows[-1], array[-1])
        np.testing.assert_array_equal(rows[::5], array[::5])
        np.testing.assert_array_equal(np.asarray(rows), array)


def test_array_in_memory_is_that_of_the_file(tmp_path: Path) -> None:
    array = np.arange(12.0).reshape(3, 4)
    for order in "CF":
        np.save(tmp_path / "a.npy", np.asfortranarray(array) if order == "F" else array)
        np.testing.assert_array_equal(load_array(StoredFile(tmp_path / "a.npy"), np.float64, (3, 4)), array)
    for dtype, shape in ((np.float32, (3, 4)), (np.float64, (4, 3)), (np.float64, (12,))):
        with pytest.raises(MapError, match=r"holds float64 \(3, 4\); map\.json says"):
            load_array(StoredFile(tmp_path / "a.npy"), dtype, shape)


@pytest.mark.parametrize(
    "shape", ["(-3, 4)", "(99999999999999, 4)", "()", "(3, 4, 5)", "(3, 4, )", "((3), 4)"]
)
@pytest.mark.parametrize("descr", ["<f8", "|O", "<U9999999"])
def test_header_that_belongs_to_no_array_of_a_map_is_refused(shape: str, descr: str, tmp_path: Path) -> None:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(96)
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(MapError, match=r"a\.npy"):
        StoredRows.of_npy(tmp_path / "a.npy")
    with pytest.raises(MapError, match=r"a\.npy"):
        load_array(StoredFile(tmp_path / "a.npy"), np.float64, (3, 4))


@pytest.mark.parametrize("change", [b"", b"x"])
def test_file_of_another_length_is_refused(change: bytes, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 4), np.float16))
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content + change if change else content[:-1])
    with pytest.raises(MapError, match=r"a\.npy has \d+ bytes; expected"):
        StoredRows.of_npy(tmp_path / "a.npy")
