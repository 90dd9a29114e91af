"""No half JPEG passes for a whole one, and no odd one of a real camera for a half one."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from netvlad_core.data.images import decode_picture, picture_size, read_image
from netvlad_core.errors import ImageError
from support.images import known_picture

END = b"\xff\xd9"
# Each as (name, file of a picture); the tables of "motion" are the usual ones, which cameras leave out.
KINDS = ("plain", "restarting", "optimized", "grey", "full colour", "progressive", "motion")


def _textured(height: int = 240, width: int = 320) -> np.ndarray:
    """Something that a camera may see, with a grey corner at the bottom right."""
    noise = np.random.default_rng(0).normal(0, 60, (height // 8, width // 8, 3))
    image = known_picture(height, width) + cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    image[-8:, -8:] = 128
    return image.clip(0, 255).astype(np.uint8)


def _jpeg(kind: str, image: np.ndarray | None = None) -> bytes:
    image = _textured() if image is None else image
    options = {
        "restarting": [cv2.IMWRITE_JPEG_RST_INTERVAL, 4],
        "optimized": [cv2.IMWRITE_JPEG_OPTIMIZE, 1],
        "progressive": [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
        "full colour": [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444],
    }
    pixels = image[..., 1] if kind == "grey" else image[..., ::-1]
    data = cv2.imencode(".jpg", pixels, options.get(kind, []))[1].tobytes()
    return _without_tables(data) if kind == "motion" else data


def _without_tables(data: bytes) -> bytes:
    kept, position = data[:2], 2
    while data[position + 1] != 0xDA:
        after = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        kept += b"" if data[position + 1] == 0xC4 else data[position:after]
        position = after
    return kept + data[position:]


def _begin(data: bytes) -> int:
    """First byte of the picture."""
    return data.index(b"\xff\xda") + 20


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "odd",
    [
        lambda data: data,
        lambda data: data[:-2],
        lambda data: data[:-1],
        lambda data: data[:-2] + bytes(4096),
        lambda data: data + bytes(4096),
        lambda data: data + b"\x12\x34\xff\xd9\xff\xd8",
        lambda data: data[:-2] + bytes(300) + END,
        lambda data: data[:-2] + b"\x12\x34" + END,
        lambda data: data[:-2] + b"\xff\xff\xff" + END,
        lambda data: data[:2] + b"\xff\xe4\x00\x42" + b"x" * 64 + data[2:],
    ],
    ids=["whole", "no end", "half an end", "no end but zeros", "zeros behind", "rubbish behind",
         "zeros before the end", "two bytes before the end", "fill bytes", "segment of a maker"],
)  # fmt: skip
def test_what_real_cameras_write_is_whole(kind, odd):
    data = _jpeg(kind)
    np.testing.assert_array_equal(decode_picture(odd(data)), decode_picture(data))
    assert picture_size(odd(data)) == (320, 240)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "progressive"])
@pytest.mark.parametrize("part", [0.01, 0.2, 0.5, 0.8, 0.97])
def test_a_jpeg_that_is_cut_is_refused_with_and_without_its_end(kind, part):
    data = _jpeg(kind)
    begin = _begin(data)
    cut = data[: begin + round(part * (len(data) - begin))]
    for rest in (cut, cut + END, cut + bytes(4096), cut + b"\xff" + END):
        with pytest.raises(ImageError) as caught:
            decode_picture(rest)
        assert caught.value.kind == "image cut off"


@pytest.mark.parametrize("part", [0.1, 0.3, 0.6])
def test_a_progressive_jpeg_without_its_last_scans_is_refused(part):
    data = _jpeg("progressive")
    with pytest.raises(ImageError, match="lacks a part"):
        decode_picture(data[: round(part * len(data))] + END)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "progressive"])
@pytest.mark.parametrize("part", [0.1, 0.4, 0.7])
def test_a_jpeg_that_has_lost_a_packet_or_has_a_hole_is_refused(kind, part):
    data = _jpeg(kind)
    start = _begin(data) + round(part * (len(data) - _begin(data)))
    lost = 700
    for gap in (b"", bytes(lost)):
        with pytest.raises(ImageError, match="lacks a part"):
            decode_picture(data[:start] + gap + data[start + lost :])


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}])
@pytest.mark.parametrize("level", [0, 127, 128, 255])
@pytest.mark.parametrize("covered", [0, 100])
def test_an_even_picture_is_whole(options, level, covered):
    """Its data may be nothing but zeros, and all of it looks like what libjpeg fills in."""
    image = _textured()
    image[covered:] = level
    for quality in (5, 95):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality, **options)
        assert decode_picture(file.getvalue()).shape == image.shape
        if not options:
            assert decode_picture(file.getvalue()[:-2]).shape == image.shape


def test_a_turned_picture_is_looked_at_in_its_last_corner():
    """The camera was held upright: OpenCV turns the picture, and its last block comes to another corner."""
    orientation = b"\x01\x12\x00\x03\x00\x00\x00\x01\x00%c\x00\x00"
    data = _jpeg("plain")
    for turn in range(1, 9):
        exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + orientation % turn + bytes(4)
        turned = data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
        assert decode_picture(turned).shape == ((320, 240, 3) if turn > 4 else (240, 320, 3))
        with pytest.raises(ImageError, match="lacks a part"):
            decode_picture(turned[: len(turned) * 2 // 3] + END)


def test_few_bytes_cannot_announce_many_pixels():
    data = bytearray(_jpeg("plain", np.zeros((16, 16, 3), np.uint8)))
    size = data.index(b"\xff\xc0") + 5
    data[size : size + 4] = (8000).to_bytes(2, "big") * 2
    with pytest.raises(ImageError, match=r"bytes is cut off: they cannot hold 8000x8000 pixels"):
        decode_picture(bytes(data))


def test_real_images_are_whole_and_their_halves_are_not(shared_data: Path):
    pictures = sorted(shared_data.glob("*/**/*.jpg"))[::150]
    for path in pictures:
        data = path.read_bytes()
        image = read_image(path)
        for rest in (data[:-2], data + bytes(500), _jpeg("plain", image), _jpeg("restarting", image)):
            assert decode_picture(rest).shape == image.shape
        with pytest.raises(ImageError):
            decode_picture(data[: len(data) * 3 // 4] + END)
    assert len(pictures) > 10
