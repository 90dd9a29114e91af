"""Sources in random access: collections as they are, recordings by their keyframes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netvlad_core.data.sources import SourceOptions
from netvlad_core.errors import ImageError, SourceError
from netvlad_core.training.sources import read_views
from support.bags import write_bag
from support.drives import COUNT, SECOND, arc, pictures
from support.street import street, view, write_catalogue


def test_collections_follow_each_other(tmp_path: Path) -> None:
    fronts = street(seed=1, metres=60)
    first = write_catalogue(tmp_path / "a", fronts, (0, 10, 20))
    second = write_catalogue(tmp_path / "b", fronts, (30, 40), first_x=100)
    (tmp_path / "b" / "000.png").write_bytes(b"broken")
    views = read_views([str(first), str(second)], SourceOptions(), tmp_path)
    assert len(views) == 5
    assert views.positions[:, 0].tolist() == [0, 10, 20, 130, 140]
    assert views.drives.tolist() == [0, 0, 0, 1, 1]
    assert (views.stamps[:3] // SECOND).tolist() == [100, 101, 102]
    np.testing.assert_array_equal(views.read(4), view(fronts, 40))
    with pytest.raises(ImageError, match=r"000\.png"):
        views.read(3)
    assert views.labels is None


def test_keyframes_of_a_bag_become_files_once(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "drive", pictures(), arc())
    views = read_views([str(bag)], SourceOptions(image_topic="/camera/image_raw"), tmp_path / "work")
    files = sorted((tmp_path / "work").rglob("*.png"))
    assert len(views) == len(files) == COUNT
    times = [file.stat().st_mtime_ns for file in files]
    again = read_views([str(bag)], SourceOptions(), tmp_path / "work")
    assert [file.stat().st_mtime_ns for file in files] == times
    assert again.stamps.tolist() == [stamp for stamp, _ in pictures()]
    np.testing.assert_allclose(again.positions, views.positions)
    for row, (_, picture) in enumerate(pictures()):
        np.testing.assert_array_equal(again.read(row), picture)


def test_column_of_labels(tmp_path: Path) -> None:
    catalogue = write_catalogue(tmp_path, street(seed=1, metres=60), (0, 10, 20))
    lines = catalogue.read_text().splitlines()
    catalogue.write_text("\n".join(line + end for line, end in zip(lines, (", label", ",a", ", b", ",a"))))
    views = read_views([str(catalogue)], SourceOptions(), tmp_path)
    assert views.labels is not None
    assert views.labels.tolist() == ["a", "b", "a"]


def test_images_without_poses_are_refused(tmp_path: Path) -> None:
    write_catalogue(tmp_path, street(seed=1, metres=60), (0, 10)).unlink()
    with pytest.raises(SourceError, match=r"000\.png has no pose"):
        read_views([str(tmp_path)], SourceOptions(), tmp_path)
    with pytest.raises(SourceError, match="no source"):
        read_views([], SourceOptions(), tmp_path)
