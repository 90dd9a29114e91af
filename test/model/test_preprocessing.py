"""What happens to an image before the network: sizes, filters, and the same pixels with torch and without."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from netvlad_core.errors import ImageError
from netvlad_core.model.preprocessing import Preprocessing, area_weights, as_rgb, resize, scaled_size
from netvlad_core.model.torch_engine import preprocess
from support.street import street, view

CPU = torch.device("cpu")
ZEROS, ONES = (0.0,) * 3, (1.0,) * 3


def rule(resize: str, *size: int, filter: str = "antialias") -> Preprocessing:
    """A rule that leaves the values of the pixels alone."""
    return Preprocessing(resize, size, ZEROS, ONES, filter)


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    fronts = street(seed=7, metres=40)
    return [view(fronts, x) for x in (0, 20)]


@pytest.mark.parametrize(
    ("size", "preprocessing", "expected"),
    [
        ((480, 640), rule("shorter", 240), (240, 320)),
        ((640, 480), rule("shorter", 240), (320, 240)),
        ((100, 100), rule("shorter", 240), (240, 240)),
        ((376, 1241), rule("shorter", 240), (240, 792)),
        ((376, 1241), rule("keep"), (376, 1241)),
        ((376, 1241), rule("limit", 1024), (310, 1024)),
        ((480, 640), rule("limit", 1024), (480, 640)),
        ((376, 1241), rule("exact", 480, 640), (480, 640)),
        ((20, 4000), rule("limit", 1024), (16, 1024)),
    ],
)
def test_size_follows_the_rule(
    size: tuple[int, int], preprocessing: Preprocessing, expected: tuple[int, int]
) -> None:
    assert scaled_size(*size, preprocessing) == expected


@pytest.mark.parametrize(
    ("size", "preprocessing"),
    [((4000, 4000), rule("keep")), ((480, 9600), rule("shorter", 1024)), ((17, 300), rule("shorter", 1024))],
)
def test_more_pixels_than_a_network_can_take_are_refused(
    size: tuple[int, int], preprocessing: Preprocessing
) -> None:
    with pytest.raises(ImageError, match=r"expected at most 8 million pixels") as caught:
        scaled_size(*size, preprocessing)
    assert caught.value.kind == "image too large"


RESIZINGS = [
    (rule("shorter", 48), 1.0),
    (rule("shorter", 97), 1.0),
    (rule("shorter", 240), 1.0),
    (rule("exact", 77, 50), 0.0),
    (rule("shorter", 48, filter="bilinear"), 0.01),
    (rule("exact", 200, 333, filter="bilinear"), 0.01),
    (rule("limit", 100, filter="area"), 0.01),
    (rule("keep"), 0.0),
]


@pytest.mark.parametrize(("preprocessing", "levels"), RESIZINGS, ids=lambda value: str(value))
def test_pixels_are_those_of_torch(
    preprocessing: Preprocessing, levels: float, images: list[np.ndarray]
) -> None:
    by_torch = preprocess(images, preprocessing, CPU).permute(0, 2, 3, 1).numpy()
    without = resize(images, preprocessing).astype(np.float32)
    assert without.shape == by_torch.shape == (2, *scaled_size(120, 160, preprocessing), 3)
    assert np.abs(without - by_torch).max() <= levels
    assert np.abs(without[0] - without[1]).max() > 50, "equal images would hide a mistake"


@pytest.mark.parametrize("side", [48, 97, 240])
def test_resize_of_bytes_equals_resize_of_floats_within_one_level(
    side: int, images: list[np.ndarray]
) -> None:
    inputs = preprocess(images[:1], rule("shorter", side), CPU)
    planes = torch.from_numpy(images[0]).permute(2, 0, 1)[None].float()
    expected = functional.interpolate(planes, size=inputs.shape[2:], mode="bilinear", antialias=True)
    assert (inputs - expected).abs().max() <= 1


@pytest.mark.parametrize("size", [(60, 80), (77, 50), (200, 333)])
def test_exact_sizes_have_the_pixels_of_pillow(size: tuple[int, int], images: list[np.ndarray]) -> None:
    expected = Image.fromarray(images[0]).resize(size[::-1], Image.Resampling.BILINEAR)
    found = preprocess(images[:1], rule("exact", *size), CPU)[0].permute(1, 2, 0)
    np.testing.assert_array_equal(found.numpy(), np.asarray(expected))


@pytest.mark.parametrize("side", [60, 40])
def test_halves_and_thirds_are_those_of_torch(side: int, images: list[np.ndarray]) -> None:
    by_torch = preprocess(images, rule("shorter", side), CPU).permute(0, 2, 3, 1).numpy()
    difference = np.abs(resize(images, rule("shorter", side)) - by_torch)
    assert difference.max() <= 3  # in the corners
    assert (difference > 1).mean() < 1e-3


@pytest.mark.parametrize(("source", "target"), [(10, 5), (10, 4), (37, 16), (5, 5)])
def test_area_weights_share_out_every_pixel(source: int, target: int) -> None:
    weights = area_weights(source, target)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(weights.sum(axis=0), target / source, rtol=1e-5)


def test_area_of_halves_is_the_mean_of_four() -> None:
    image = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
    expected = image.reshape(16, 2, 16, 2, 3).mean(axis=(1, 3))
    found = resize([image], rule("limit", 16, filter="area"))[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_input_is_normalised_per_channel() -> None:
    image = np.full((20, 30, 3), (10, 20, 30), np.uint8)
    inputs = preprocess([image], Preprocessing("keep", (), (1.0, 2.0, 3.0), (3.0, 6.0, 9.0)), CPU)
    assert inputs.shape == (1, 3, 20, 30)
    torch.testing.assert_close(inputs[0, :, 0, 0], torch.tensor([3.0, 3.0, 3.0]))
    assert inputs.std(dim=(2, 3)).max() == 0


def test_grey_becomes_three_equal_channels(images: list[np.ndarray]) -> None:
    grey = images[0][..., 0]
    expected = np.stack([grey] * 3, axis=-1)
    np.testing.assert_array_equal(as_rgb(grey), expected)
    np.testing.assert_array_equal(as_rgb(grey[:, :, None]), expected)
    assert as_rgb(images[0]) is images[0]


@pytest.mark.parametrize(
    ("image", "found"),
    [
        (np.zeros((64, 64, 3), np.float32), r"float32 \(64, 64, 3\)"),
        (np.zeros((64, 64), np.uint16), r"uint16 \(64, 64, 3\)"),
        (np.zeros((64, 64, 4), np.uint8), r"uint8 \(64, 64, 4\)"),
        (np.zeros((3, 64, 64), np.uint8), r"uint8 \(3, 64, 64\)"),
        (np.zeros(64, np.uint8), r"uint8 \(64,\)"),
        (np.zeros((0, 0, 3), np.uint8), "0x0"),
        (np.zeros((15, 640), np.uint8), "640x15"),
        (
            np.zeros((16, 20000), np.uint8),
            "20000x16 pixels is too narrow to describe; expected a longer side",
        ),
        (np.zeros((1000, 20, 3), np.uint8), "20x1000 pixels is too narrow"),
    ],
)
def test_anything_else_is_refused(image: np.ndarray, found: str) -> None:
    with pytest.raises(ImageError, match=found):
        as_rgb(image)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (("wider", (), ZEROS, ONES), "no rule 'wider'"),
        (("shorter", (), ZEROS, ONES), "no rule 'shorter' with the size"),
        (("exact", (480,), ZEROS, ONES), "no rule 'exact'"),
        (("shorter", (8,), ZEROS, ONES), "16 to 8192"),
        (("shorter", (10**6,), ZEROS, ONES), "16 to 8192"),
        (("shorter", (240.0,), ZEROS, ONES), "16 to 8192"),
        (("shorter", (240,), ZEROS, ONES, "cubic"), "no filter 'cubic'"),
        (("shorter", (240,), ZEROS, ONES, "area"), "no filter 'area' for the rule 'shorter'"),
        (("keep", (), (0.0, 0.0, float("nan")), ONES), "three means"),
        (("keep", (), ZEROS, (1.0, 0.0, 1.0)), "deviations above 0"),
    ],
)
def test_rule_that_cannot_be_is_refused(values: tuple[object, ...], found: str) -> None:
    with pytest.raises(ValueError, match=found):
        Preprocessing(*values)
