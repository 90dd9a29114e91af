"""The picture that tells a person at once whether a match is right: query and place side by side."""

from __future__ import annotations

import cv2
import numpy as np

from netvlad_core.localization.answer import Localization
from netvlad_core.localization.tracking.sequence_filter import State

_HEIGHT = 240
_GAP = 6
# uint8 RGB of each state, in pictures and markers alike.
STATE_COLORS = {State.LOST: (205, 60, 60), State.AMBIGUOUS: (235, 175, 30), State.LOCALIZED: (60, 170, 80)}


def headline(answer: Localization) -> str:
    """State, place and probability in one line."""
    return f"{answer.state.name}  place {answer.place}  probability {answer.probability:.2f}"


def draw_match(query: np.ndarray, place: np.ndarray, answer: Localization) -> np.ndarray:
    """Draw the query (left) and its place (right), framed and titled in the colour of the state.

    Parameters
    ----------
    query, place : uint8 RGB (H, W, 3), of any size; place shows `answer.place`.

    Returns
    -------
    uint8 RGB (276, W', 3).
    """
    color = STATE_COLORS[answer.state]
    gap = np.full((_HEIGHT, _GAP, 3), color, np.uint8)
    pictures = np.hstack([gap, _scaled(query), gap, _scaled(place), gap])
    title = np.full((30, pictures.shape[1], 3), color, np.uint8)
    font, white = cv2.FONT_HERSHEY_SIMPLEX, (255, 255, 255)
    cv2.putText(title, headline(answer), (_GAP + 2, 21), font, 0.55, white, 1, cv2.LINE_AA)
    floor = np.full((_GAP, pictures.shape[1], 3), color, np.uint8)
    return np.vstack([title, pictures, floor])


def _scaled(image: np.ndarray) -> np.ndarray:
    width = max(1, round(image.shape[1] * _HEIGHT / image.shape[0]))
    return cv2.resize(image, (width, _HEIGHT), interpolation=cv2.INTER_AREA)
