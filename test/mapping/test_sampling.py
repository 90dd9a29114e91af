"""Images evenly spread over a drive; broken ones are passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.errors import SourceError
from netvlad_core.mapping.keyframes import KEEP_ALL
from netvlad_core.mapping.sampling import sample_frames, step_of
from support.street import street, write_catalogue


@pytest.mark.parametrize(("count", "step"), [(0, 1), (1, 1), (500, 1), (501, 2), (1000, 2), (1001, 3)])
def test_step_takes_at_most_so_many(count: int, step: int) -> None:
    assert step_of(count) == step
    assert len(range(0, count, step)) <= 500


def test_sample_passes_over_broken_images(tmp_path: Path) -> None:
    path = write_catalogue(tmp_path, street(seed=1, metres=20), range(0, 20, 2))
    files = sorted(path.parent.rglob("*.png")) + sorted(path.parent.rglob("*.jpg"))
    source = CatalogueSource.from_csv(path)
    assert len(list(sample_frames(source, KEEP_ALL, progress=False, most=5)())) == 5
    files[0].write_bytes(b"?")
    assert len(list(sample_frames(source, KEEP_ALL, progress=False)())) == 9
    for file in files:
        file.write_bytes(b"?")
    said = r"no image of catalogue .* could be used: damaged image or no picture \(10 times\)"
    with pytest.raises(SourceError, match=said):
        list(sample_frames(source, KEEP_ALL, progress=False)())
