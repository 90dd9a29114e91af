"""Pictures in sheets: each in its cell, all together below the bytes that were given."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
import pytest

from netvlad_core.evaluation.report.sheets import PictureSheets


def _decoded(values: dict[str, Any], sheet: int) -> np.ndarray:
    data = base64.b64decode(values["sheets"][sheet].partition(",")[2])
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def _plain(shade: int) -> np.ndarray:
    return np.full((240, 320, 3), (shade, 255 - shade, 40), np.uint8)


def test_each_picture_is_found_in_its_cell() -> None:
    sheets = PictureSheets(30, 1e6)
    assert [sheets.add(_plain(8 * shade)) for shade in range(30)] == list(range(30))
    values = sheets.values()
    columns, rows = values["columns"], values["rows"]
    assert len(values["sheets"]) == -(-30 // (columns * rows)) > 1
    for number in range(30):
        sheet, cell = divmod(number, columns * rows)
        picture = _decoded(values, sheet)
        assert picture.shape[1] == columns * values["width"]
        x, y = (cell % columns + 0.5) * values["width"], (cell // columns + 0.5) * values["height"]
        np.testing.assert_allclose(picture[int(y), int(x)], (8 * number, 255 - 8 * number, 40), atol=12)


@pytest.mark.parametrize(("count", "most"), [(40, 200_000), (700, 200_000), (700, 20_000)])
def test_noise_which_no_codec_compresses_stays_below_the_bytes(count: int, most: int) -> None:
    random = np.random.default_rng(0)
    sheets = PictureSheets(count, most)
    for _ in range(count):
        sheets.add(random.integers(0, 256, (120, 160, 3), np.uint8))
    values = sheets.values()
    assert values["count"] == count
    assert sum(map(len, values["sheets"])) <= most + 100 * len(values["sheets"])


def test_more_pictures_are_smaller_ones() -> None:
    widths = []
    for count in (10, 1000, 100_000):
        sheets = PictureSheets(count, 2e6)
        sheets.add(_plain(100))
        widths.append(sheets.values()["width"])
    assert widths == sorted(widths, reverse=True)
    assert (widths[0], widths[-1]) == (320, 64)


def test_a_picture_of_another_shape_is_fitted_into_its_cell() -> None:
    sheets = PictureSheets(2, 1e6)
    sheets.add(_plain(0))
    sheets.add(np.full((500, 100, 3), 200, np.uint8))
    values = sheets.values()
    cell = _decoded(values, 0)[: values["height"], values["width"] : 2 * values["width"]]
    assert cell[values["height"] // 2, values["width"] // 2].min() > 180
    assert cell[values["height"] // 2, 5].max() < 30


def test_no_bytes_mean_no_pictures() -> None:
    sheets = PictureSheets(5, 0)
    assert sheets.add(_plain(0)) is None
    assert sheets.values() is None
