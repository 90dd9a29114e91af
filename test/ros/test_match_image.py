"""The picture of query and place."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")
from netvlad_core.data.geometry import Pose
from netvlad_core.localization.answer import Localization
from netvlad_core.localization.tracking.sequence_filter import State
from netvlad_core.mapping.places import Match
from netvlad_ros.match_image import draw_match
from support.answers import localized

_RED, _BLUE = np.array([250, 0, 0], np.uint8), np.array([0, 0, 250], np.uint8)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize(
    ("query_size", "place_size"),
    [((480, 640), (120, 160)), ((240, 320), (1080, 1920)), ((500, 16), (16, 90))],
)
def test_query_is_left_and_place_is_right(state, query_size, place_size):
    query, place = np.tile(_RED, (*query_size, 1)), np.tile(_BLUE, (*place_size, 1))
    answer = Localization(0, state, [Match(3, 0, 0.5, None)], None, np.zeros(4, np.float32), 0.5)
    picture = draw_match(query, place, answer)
    assert (picture.dtype, picture.shape[0]) == (np.uint8, 276)
    middle = picture[150]
    is_red, is_blue = (middle == _RED).all(axis=1), (middle == _BLUE).all(axis=1)
    assert 0 < np.flatnonzero(is_red).max() < np.flatnonzero(is_blue).min()
    assert is_red.sum() == round(query_size[1] * 240 / query_size[0])
    frame = {State.LOST: 0, State.AMBIGUOUS: 0, State.LOCALIZED: 1}[state]
    assert picture[0, 0].argmax() == frame  # red and amber, or green


def test_title_names_the_place_that_is_spoken_of_and_its_probability(monkeypatch):
    written: list[str] = []
    put_text = cv2.putText

    def read_along(image, text, *rest):
        written.append(text)
        return put_text(image, text, *rest)

    monkeypatch.setattr(cv2, "putText", read_along)
    picture = np.zeros((48, 64, 3), np.uint8)
    titled = draw_match(picture, picture, localized(Pose.identity(), believed=7))
    assert written == ["LOCALIZED  place 7  probability 0.97"]
    assert (titled[:30] == 255).all(axis=2).any()
