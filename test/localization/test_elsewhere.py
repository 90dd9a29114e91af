"""What counts as another part of the map."""

from __future__ import annotations

import pytest

from netvlad_core.data.geometry import Pose
from netvlad_core.localization.elsewhere import Elsewhere
from netvlad_core.mapping.places import Match


def test_margin_is_the_lead_over_other_parts_of_the_map() -> None:
    best, beside, rival = (
        Match(row, row, 0.5, Pose.from_xyz_yaw(x, 0.0), inliers)
        for row, x, inliers in ((0, 0.0, 64), (1, 15.0, 49), (2, 25.0, 16))
    )
    assert Elsewhere().margin([best, beside]) == pytest.approx(0.5 * 8)
    assert Elsewhere().margin([best, beside, rival]) == pytest.approx(0.5 * (8 - 4))
    nowhere = [Match(row, row, 0.5, None, inliers) for row, inliers in ((0, 64), (2, 16))]
    assert Elsewhere().margin(nowhere) == pytest.approx(0.5 * 8)
