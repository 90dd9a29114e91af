"""Maps are joined in whatever order they come, and those that show other streets are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netvlad_core.errors import MapError
from netvlad_core.fleet.joint_map import join_maps
from netvlad_core.mapping.care.parts import Part, write_parts
from netvlad_core.mapping.place_map import PlaceMap
from support.maps import made_map, unit


def test_a_map_that_meets_only_a_later_one_is_joined_by_it(street_map: PlaceMap, tmp_path: Path) -> None:
    """The west does not see the east; the middle sees both, and comes last."""
    pieces = {"west": range(20), "east": range(20, 40), "middle": range(40)}
    maps = [
        write_parts([Part.of(street_map, np.array(rows))], tmp_path / name, "split", 0)
        for name, rows in pieces.items()
    ]
    joint = join_maps(maps, device="cpu")
    assert [place_map.path.name for place_map in joint.maps] == ["west", "middle", "east"], joint.left_out
    assert joint.left_out == {}
    assert max(np.abs(pose.position).max() for pose in joint.joints) < 2


def test_frames_of_one_name_are_checked(tmp_path: Path) -> None:
    rows = unit(np.eye(4, 8))
    maps = [made_map(tmp_path / name, rows) for name in "ab"]
    assert [pose.position.tolist() for pose in join_maps(maps, same_frame=True).joints] == [[0, 0, 0]]
    with pytest.raises(MapError, match="frame"):
        join_maps([maps[0], _in_frame(tmp_path / "c", rows)], same_frame=True)


def _in_frame(path: Path, rows: np.ndarray) -> PlaceMap:
    return write_parts([Part.of(made_map(path.with_name("d"), rows))], path, "x", 0, frame_id="other")
