"""Errors are sentences that can be read."""

from __future__ import annotations

import pytest

from netvlad_core.errors import ImageError, NetvladError, SettingError


@pytest.mark.parametrize("echoed", ["k" * 100_000, "k " * 50_000])
@pytest.mark.parametrize("kind", [NetvladError, ImageError, SettingError])
def test_what_is_echoed_is_shortened(kind, echoed) -> None:
    text = str(kind(f"maps/campus.toml: unknown option {echoed}"))
    assert text.startswith("maps/campus.toml: unknown option k")
    assert "[...]" in text
    assert len(text) < 5000


def test_a_long_list_stays_whole() -> None:
    topics = ", ".join(f"/robot_{n}/camera/image_raw (sensor_msgs/Image, 100 messages)" for n in range(50))
    assert str(NetvladError(f"topics in the bag: {topics}")) == f"topics in the bag: {topics}"


def test_what_a_library_says_in_lines_becomes_one() -> None:
    said = "cannot read the bag: while scanning a simple key\n  in line 12:\n    live =\n    ^\n"
    assert str(NetvladError(said)) == "cannot read the bag: while scanning a simple key in line 12: live = ^"
