"""Pictures from files and messages: the right colours, and no broken picture passes for a whole one."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from array import array

import cv2
import numpy as np
import pytest
from PIL import Image

from netvlad_core.data.images import decode_message, decode_picture, encode_jpeg, read_image, resize_to_fit
from netvlad_core.errors import ImageError
from support.bags import Messages, raw_namespace
from support.images import known_picture

PICTURE = known_picture()
EXACT = ["rgb8", "bgr8", "8UC3", "rgba8", "bgra8"]
GREY = ["mono8", "8UC1"]
LOSSY = [
    *(f"bayer_{pattern}8" for pattern in ("rggb", "bggr", "gbrg", "grbg")),
    *("uyvy", "yuv422", "yuyv", "yuv422_yuy2", "nv12", "nv21"),
]
DEEP = [
    "rgb16",
    "bgr16",
    "rgba16",
    "bgra16",
    "mono16",
    *(f"bayer_{p}16" for p in ("rggb", "bggr", "gbrg", "grbg")),
]


def grey_of(rgb: np.ndarray) -> np.ndarray:
    return np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=-1)


def message_of(encoding: str, padding: int = 0, **changes):
    """Make an image message as rclpy has it, with some fields changed."""
    message = raw_namespace(Messages().image(10**9, PICTURE, encoding, padding))
    message.data = array("B", message.data.tobytes())
    return spoiled(message, **changes)


def spoiled(message, **changes):
    vars(message).update(changes)
    return message


def assert_alike(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    """Compare away from the border, where demosaicing has no neighbours."""
    assert found.dtype == np.uint8
    assert found.shape == expected.shape
    difference = np.abs(found.astype(int) - expected)[2:-2, 2:-2]
    assert difference.mean() <= tolerance


def test_picture_tells_channels_apart():
    """The tolerances below are far smaller than what any swap of channels changes."""
    for order in ((2, 1, 0), (1, 0, 2), (0, 2, 1)):
        assert np.abs(PICTURE[..., order].astype(int) - PICTURE).mean() > 25


@pytest.mark.parametrize("padding", [0, 13])
@pytest.mark.parametrize("encoding", EXACT)
def test_colour_encodings_are_exact(encoding, padding):
    np.testing.assert_array_equal(decode_message(message_of(encoding, padding)), PICTURE)


@pytest.mark.parametrize("padding", [0, 13])
@pytest.mark.parametrize("encoding", GREY)
def test_grey_becomes_three_equal_channels(encoding, padding):
    np.testing.assert_array_equal(decode_message(message_of(encoding, padding)), grey_of(PICTURE))


@pytest.mark.parametrize("padding", [0, 16])
@pytest.mark.parametrize("encoding", LOSSY)
def test_mosaics_and_yuv(encoding, padding):
    assert_alike(decode_message(message_of(encoding, padding)), PICTURE, tolerance=4)


@pytest.mark.parametrize("encoding", DEEP)
def test_sixteen_bits_are_stretched_to_eight(encoding):
    picture = grey_of(PICTURE) if encoding == "mono16" else PICTURE
    low, high = np.percentile(picture, (0.1, 99.9))
    stretched = ((picture - low) * 255 / (high - low)).clip(0, 255)
    assert_alike(decode_message(message_of(encoding, padding=4)), stretched, tolerance=6)


def test_big_endian_equals_little_endian():
    little = message_of("mono16")
    swapped = array("B", np.frombuffer(little.data, ">u2").astype("<u2").tobytes())
    big = message_of("mono16", is_bigendian=1, data=swapped)
    np.testing.assert_array_equal(decode_message(big), decode_message(little))


def test_twelve_bits_in_sixteen_are_not_black():
    values = (grey_of(PICTURE)[..., 0].astype("<u2") * 4).tobytes()
    image = decode_message(message_of("mono16", data=array("B", values)))
    assert image.min() == 0
    assert image.max() == 255
    assert np.ptp(image[..., 0].astype(int)) == 255


def test_even_sixteen_bit_picture_has_one_value():
    values = np.full(PICTURE.shape[:2], 0x4000, "<u2").tobytes()
    np.testing.assert_array_equal(decode_message(message_of("mono16", data=array("B", values))), 0x40)


@pytest.mark.parametrize("is_ros1", [False, True])
@pytest.mark.parametrize("encoding", ["rgb8", "mono8", "jpeg", "png"])
def test_messages_of_rosbags(encoding, is_ros1):
    message = Messages(is_ros1).image(10**9, PICTURE, encoding)
    expected = grey_of(PICTURE) if encoding == "mono8" else PICTURE
    assert_alike(decode_message(message), expected, tolerance=4)


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "mono8", "bayer_rggb8", "uyvy"])
def test_agrees_with_rosbags_image(encoding):
    """A second opinion, where that library is right: on rows without padding."""
    rosbags_image = pytest.importorskip("rosbags.image")
    message = Messages().image(10**9, PICTURE, encoding)
    np.testing.assert_array_equal(decode_message(message), rosbags_image.message_to_cvimage(message, "rgb8"))


def test_image_is_independent_of_its_message():
    message = message_of("rgb8")
    image = decode_message(message)
    image[:] = 0
    np.testing.assert_array_equal(decode_message(message), PICTURE)


@pytest.mark.parametrize(
    "format_", ["jpeg", "png", "rgb8; jpeg compressed bgr8", "bgr8; png compressed bgr8"]
)
def test_compressed_formats(format_):
    kind = "png" if "png" in format_ else "jpeg"
    message = message_of(kind, format=format_)
    assert_alike(decode_message(message), PICTURE, tolerance=0 if kind == "png" else 4)


def test_compressed_without_swapping_channels():
    """`compressed rgb8`: the publisher handed RGB to an encoder that takes BGR."""
    data = cv2.imencode(".png", PICTURE)[1].tobytes()
    message = message_of("png", format="rgb8; png compressed rgb8", data=data)
    np.testing.assert_array_equal(decode_message(message), PICTURE)


def test_compressed_grey_and_mosaic():
    grey = grey_of(PICTURE)[..., 0]
    message = message_of(
        "png", format="mono8; png compressed mono8", data=cv2.imencode(".png", grey)[1].tobytes()
    )
    np.testing.assert_array_equal(decode_message(message), grey_of(PICTURE))
    mosaic = np.frombuffer(message_of("bayer_grbg8").data, np.uint8).reshape(PICTURE.shape[:2])
    data = cv2.imencode(".png", mosaic)[1].tobytes()
    message = message_of("png", format="bayer_grbg8; png compressed bayer_grbg8", data=data)
    assert_alike(decode_message(message), PICTURE, tolerance=4)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"width": 0, "height": 0, "step": 0, "data": b""}, "0x0 .* empty"),
        ({"height": 0}, "64x0 .* empty"),
        ({"encoding": "rgb9"}, "'rgb9' is not known; expected one of .*bgr8"),
        ({"encoding": ""}, "'' is not known"),
        ({"encoding": "32FC1"}, "'32FC1' is not known"),
        ({"step": 100}, "needs rows of 192 bytes, its step says 100"),
        ({"step": 0}, "needs rows of 192 bytes, its step says 0"),
        ({"data": b"\0" * 5000}, "needs 9216 bytes, found 5000: cut off"),
        ({"data": b""}, "needs 9216 bytes, found 0: cut off"),
        ({"data": b"\0" * 9217}, "found 9217: too long"),
        ({"height": 47}, "needs 9024 bytes, found 9216: too long"),
        ({"encoding": "rgba8"}, "needs rows of 256 bytes"),
    ],
)
def test_contradicting_sizes_are_refused(changes, found):
    with pytest.raises(ImageError, match=found):
        decode_message(spoiled(message_of("rgb8"), **changes))


def test_odd_sizes_of_halved_chroma_are_refused():
    with pytest.raises(ImageError):
        decode_message(message_of("nv12", width=63, height=47, data=b"\0" * (70 * 64)))


@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_truncated_pictures_are_refused(kind, part):
    message = message_of(kind)
    message.data = message.data[: int(len(message.data) * part)]
    with pytest.raises(ImageError, match=r"cut off|damaged"):
        decode_message(message)


def test_jpeg_without_its_last_rows_is_refused():
    """OpenCV 4 decodes this one to a picture that is partly grey, without a word."""
    data = encode_jpeg(known_picture(480, 640), 95)[:-40]
    with pytest.raises(ImageError, match=r"JPEG .* cut off: its end marker is missing"):
        decode_message(message_of("jpeg", data=data))


def test_end_of_an_embedded_thumbnail_is_not_the_end():
    thumbnail = encode_jpeg(known_picture(8, 8))
    whole = encode_jpeg(PICTURE)
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    with_thumbnail = whole[:2] + segment + whole[2:]
    assert_alike(decode_message(message_of("jpeg", data=with_thumbnail)), PICTURE, tolerance=4)
    with pytest.raises(ImageError, match="cut off"):
        decode_message(message_of("jpeg", data=with_thumbnail[:-20]))


@pytest.mark.parametrize(
    ("data", "found"), [(b"", "empty"), (b"not a picture", "no picture"), (b"\xff\xd8\xff\xd9", "no picture")]
)
def test_what_is_no_picture(data, found):
    with pytest.raises(ImageError, match=found):
        decode_message(message_of("jpeg", data=data))


def test_compressed_depth_is_refused():
    with pytest.raises(ImageError, match="holds depth"):
        decode_message(message_of("png", format="16UC1; compressedDepth png"))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tiff", ".webp", ".ppm"])
def test_read_image_files(tmp_path, suffix):
    file = tmp_path / f"picture{suffix}"
    cv2.imwrite(str(file), PICTURE[..., ::-1])
    assert_alike(read_image(file), PICTURE, tolerance=5 if suffix in (".jpg", ".webp") else 0)


def test_read_grey_alpha_and_deep_files(tmp_path):
    grey = grey_of(PICTURE)[..., 0]
    bgra = np.dstack([PICTURE[..., ::-1], np.full(grey.shape, 9, np.uint8)])
    files = {"grey": grey, "alpha": bgra, "deep": grey.astype(np.uint16) * 16}
    for name, pixels in files.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), pixels)
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), grey_of(PICTURE))
    np.testing.assert_array_equal(read_image(tmp_path / "alpha.png"), PICTURE)
    deep = read_image(tmp_path / "deep.png")
    assert deep.dtype == np.uint8
    assert np.corrcoef(deep[..., 1].ravel(), grey.ravel())[0, 1] > 0.999


def test_read_image_errors_name_the_file(tmp_path):
    with pytest.raises(ImageError, match=r"cannot read the image .*none\.jpg"):
        read_image(tmp_path / "none.jpg")
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(encode_jpeg(PICTURE)[:-10])
    with pytest.raises(ImageError, match=r"broken\.jpg: JPEG .* cut off"):
        read_image(broken)
    floats = tmp_path / "floats.tiff"
    cv2.imwrite(str(floats), PICTURE.astype(np.float32))
    with pytest.raises(ImageError, match="found float32"):
        read_image(floats)


def test_encode_jpeg_round_trip_and_quality():
    good, poor = encode_jpeg(PICTURE, 95), encode_jpeg(PICTURE, 20)
    assert len(poor) < len(good)
    assert_alike(decode_message(message_of("jpeg", data=good)), PICTURE, tolerance=3)


def test_resize_to_fit_shrinks_and_never_enlarges():
    assert resize_to_fit(PICTURE, 32).shape == (24, 32, 3)
    assert resize_to_fit(PICTURE.transpose(1, 0, 2), 32).shape == (32, 24, 3)
    assert resize_to_fit(PICTURE, 640) is PICTURE
    assert resize_to_fit(np.zeros((2, 1000, 3), np.uint8), 10).shape == (1, 10, 3)
    assert_alike(resize_to_fit(PICTURE, 32), known_picture(24, 32), tolerance=4)


def _png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_png_with_a_chunk_longer_than_itself_is_refused():
    """OpenCV would take as much memory as the chunk announces."""
    data = bytearray(cv2.imencode(".png", PICTURE)[1].tobytes())
    length = data.index(b"IDAT") - 4
    data[length : length + 4] = (10_000_000).to_bytes(4, "big")
    with pytest.raises(ImageError, match="cut off"):
        decode_picture(bytes(data))


def test_a_format_whose_header_nobody_reads_is_refused():
    """OpenCV would decode it, whatever size it announces."""
    for data in (b"PF\n20000 20000\n-1.0\n", b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 20000 +X 20000\n"):
        with pytest.raises(ImageError, match=r"damaged or no picture; expected one of JPEG, PNG"):
            decode_picture(data + bytes(100))


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".avif"])
def test_of_an_animated_picture_the_first_one_counts(tmp_path, suffix):
    shades = [Image.new("RGB", (64, 48), (40 + 20 * n, 0, 0)) for n in range(5)]
    shades[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=shades[1:])
    assert_alike(read_image(tmp_path / f"a{suffix}"), np.full((48, 64, 3), (40, 0, 0)), tolerance=4)


@pytest.mark.parametrize(("width", "height"), [(60000, 16), (16, 4000)])
def test_narrow_strips_are_refused_by_their_header(width, height):
    with pytest.raises(ImageError, match="too narrow to describe") as caught:
        decode_picture(_png_header(width, height))
    assert caught.value.kind == "image too narrow"
    pixels = bytes(width * height)
    with pytest.raises(ImageError, match="too narrow to describe"):
        decode_message(message_of("mono8", width=width, height=height, step=width, data=pixels))


@pytest.mark.parametrize(("width", "height"), [(20000, 5000), (60000, 60000), (2**31 - 1, 2**31 - 1)])
def test_large_pictures_are_refused_by_their_header(width, height):
    tracemalloc.start()
    with pytest.raises(ImageError, match=r"pixels") as caught:
        decode_picture(_png_header(width, height))
    assert caught.value.kind == "image too large"
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()
    message = raw_namespace(Messages().image(0, PICTURE))
    message.width, message.height, message.step = width, height, 3 * width
    with pytest.raises(ImageError, match="expected at most 80 million, make it smaller"):
        decode_message(message)


def test_what_decodes_to_far_more_than_its_file_is_refused_by_its_header():
    file = io.BytesIO()
    Image.new("L", (5000, 5000)).save(file, "WEBP", lossless=True)
    with pytest.raises(ImageError, match=r"5000x5000 pixels in \d+ bytes: no photograph is so small"):
        decode_picture(file.getvalue())
    deep = bytearray(_png_header(8000, 8000))
    deep[24:26] = 16, 6  # bits, and red, green, blue, alpha
    deep[29:33] = struct.pack(">I", zlib.crc32(deep[12:29]))
    with pytest.raises(ImageError, match="8000x8000 pixels of 8 bytes each; make it smaller"):
        decode_picture(bytes(deep))


def test_faults_have_kinds_to_count_them_by():
    good = encode_jpeg(PICTURE)
    kinds = []
    for data in (b"", good[:-10], good[:-20], b"<html>", b"GIF8"):
        with pytest.raises(ImageError) as caught:
            decode_picture(data)
        kinds.append(caught.value.kind)
    assert kinds == ["empty image", *["image cut off"] * 2, *["damaged image or no picture"] * 2]
