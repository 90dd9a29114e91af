"""Guards around SciPy's reader: what is well-formed comes through, compressed or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from netvlad_core.data.mat_file import read_mat_file
from netvlad_core.errors import CheckpointError, SourceError


@pytest.mark.parametrize("is_compressed", [False, True])
def test_names_that_repeat_each_other_come_through(tmp_path: Path, is_compressed: bool) -> None:
    """As in the 254 000 file names of Pittsburgh 250k, which shrink to a twentieth."""
    names = np.array([f"{i // 24:06d}_pitch{1 + i % 2}_yaw{1 + i % 12}.jpg" for i in range(5000)], object)
    savemat(tmp_path / "x.mat", {"files": names, "place": np.eye(2)}, do_compression=is_compressed)
    found = read_mat_file(tmp_path / "x.mat", SourceError, 200)
    assert [cell[0] for cell in found["files"].ravel()] == names.tolist()
    np.testing.assert_array_equal(found["place"], np.eye(2))


@pytest.mark.parametrize("error", [SourceError, CheckpointError])
def test_the_caller_names_the_error(tmp_path: Path, error: type[SourceError | CheckpointError]) -> None:
    (tmp_path / "new.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(600))
    for name, sentence in (("new.mat", "save it in MATLAB with the option -v7"), ("gone.mat", "cannot read")):
        with pytest.raises(error, match=sentence):
            read_mat_file(tmp_path / name, error, 8)


def test_file_as_large_as_the_networks_of_hloc_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.mat"
    with path.open("wb") as file:
        file.truncate(600_000_000)  # a sparse file
    with pytest.raises(CheckpointError, match="no header of a little-endian MATLAB 5 file"):
        read_mat_file(path, CheckpointError, 8)
