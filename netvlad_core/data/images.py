"""Pictures from files and from ROS messages, always as uint8 RGB arrays (H, W, 3).

Nothing here imports ROS: a message is anything with the fields of sensor_msgs/Image or CompressedImage.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from netvlad_core.data.jpeg import (
    CUT_OFF,
    is_jpeg,
    refuse_impossible,
    refuse_incomplete,
    with_end,
)
from netvlad_core.errors import ImageError
from netvlad_core.files import read_file

EMPTY = "empty image"
NO_PICTURE = "damaged image or no picture"
CONTRADICTORY = "image whose sizes contradict each other"
UNKNOWN_ENCODING = "image of an unknown encoding"
TOO_LARGE = "image too large"
TOO_NARROW = "image too narrow"

# Decoded that is 240 MB, and more than any camera of a robot has.
_MOST_PIXELS, _MOST_DECODED = 80_000_000, 240_000_000
# A photograph takes more bytes; of one colour it may take fewer, but then it need not be large.
_MOST_PIXELS_A_BYTE, _LARGE = 256, 1 << 24
# Scaled by its shorter side a strip of an image would take all memory; panoramas have 8 to 1.
_LONGEST_ASPECT = 20
_SHORTEST = 16  # pixels; what is shorter counts as this long
# What OpenCV decodes and Pillow knows the header of: a size that is not known beforehand may be any.
_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "PPM", "GIF", "JPEG2000", "AVIF")
_TIFF_STARTS = (b"II*\0", b"MM\0*")


class _Layout(NamedTuple):
    """Samples a pixel of an encoding, and OpenCV's conversion to RGB (None if it is RGB)."""

    samples: int
    to_rgb: int | None
    is_planar: bool = False


# Each with 8 and with 16 bits a sample. OpenCV names a Bayer pattern after its second row and column: BayerBG
# is what ROS calls rggb.
_LAYOUTS = {
    "rgb": _Layout(3, None),
    "bgr": _Layout(3, cv2.COLOR_BGR2RGB),
    "rgba": _Layout(4, cv2.COLOR_RGBA2RGB),
    "bgra": _Layout(4, cv2.COLOR_BGRA2RGB),
    "mono": _Layout(1, cv2.COLOR_GRAY2RGB),
    "bayer_rggb": _Layout(1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr": _Layout(1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg": _Layout(1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg": _Layout(1, cv2.COLOR_BayerGB2RGB),
}
# OpenCV's own type names say nothing about colour; the order there is blue, green, red.
_OPENCV_TYPES = {"UC1": "mono", "UC3": "bgr", "UC4": "bgra"}

# Layout and bytes a sample of what sensor_msgs/Image calls its encoding.
_ENCODINGS = {
    "uyvy": (_Layout(2, cv2.COLOR_YUV2RGB_UYVY), 1),
    "yuv422": (_Layout(2, cv2.COLOR_YUV2RGB_UYVY), 1),
    "yuyv": (_Layout(2, cv2.COLOR_YUV2RGB_YUY2), 1),
    "yuv422_yuy2": (_Layout(2, cv2.COLOR_YUV2RGB_YUY2), 1),
    "nv12": (_Layout(1, cv2.COLOR_YUV2RGB_NV12, is_planar=True), 1),
    "nv21": (_Layout(1, cv2.COLOR_YUV2RGB_NV21, is_planar=True), 1),
}
for _bits, _size in ("8", 1), ("16", 2):
    _ENCODINGS |= {name + _bits: (layout, _size) for name, layout in _LAYOUTS.items()}
    _ENCODINGS |= {_bits + kind: (_LAYOUTS[name], _size) for kind, name in _OPENCV_TYPES.items()}


def read_image(path: Path) -> np.ndarray:
    """Read a picture file (JPEG, PNG, BMP, TIFF, WebP, PPM...).

    Returns
    -------
    (H, W, 3) uint8 RGB; grey becomes three equal channels, 16 bits are stretched to 8, alpha is dropped.

    Raises
    ------
    ImageError
        If the file is missing, cut off or no picture.
    """
    try:
        return decode_picture(read_file(Path(path)))
    except OSError as error:
        raise ImageError(f"cannot read the image {path}: {error.strerror}", "missing image file") from error
    except ImageError as error:
        raise ImageError(f"{path}: {error}", error.kind) from error


def decode_picture(data: bytes) -> np.ndarray:
    """Decode the content of a picture file; result and errors as of `read_image`."""
    return _to_rgb(_decode_file(data), _LAYOUTS["bgr"])


def picture_size(data: Any) -> tuple[int, int]:
    """Width and height of a picture file (bytes or uint8 array) from its header, without decoding its pixels.

    Raises
    ------
    ImageError
        If the file is empty, no picture, of too many pixels, too narrow, or a JPEG or PNG that is cut off.
    """
    size, _ = _judge_header(memoryview(data))
    return size


def _judge_header(data: memoryview) -> tuple[tuple[int, int], memoryview]:
    """Size of a picture file and the file with its end; see `picture_size`."""
    if not len(data):
        raise ImageError("the picture is empty (0 bytes)", EMPTY)
    width, height, bytes_a_pixel = _announced_size(data)
    refuse_odd_size(width, height)
    size = f"{width}x{height} pixels"
    if width * height * bytes_a_pixel > _MOST_DECODED:
        raise ImageError(
            f"image of {size} of {bytes_a_pixel} bytes each; make it smaller, or of 8 bits", TOO_LARGE
        )
    if is_jpeg(data):
        refuse_impossible(data, width, height)
        data = with_end(data)
    if width * height > max(_LARGE, _MOST_PIXELS_A_BYTE * len(data)):
        raise ImageError(f"image of {size} in {len(data)} bytes: no photograph is so small", TOO_LARGE)
    _refuse_cut_png(data)
    return (width, height), data


def _announced_size(data: memoryview) -> tuple[int, int, int]:
    """Width, height, and bytes that OpenCV takes for a pixel, of formats that may have more than three."""
    from PIL import Image
    from PIL.TiffImagePlugin import BITSPERSAMPLE, IMAGELENGTH, IMAGEWIDTH, ImageFileDirectory_v2

    file = io.BytesIO(data)
    try:
        if data[:4] in _TIFF_STARTS:  # Pillow opens fewer of these than OpenCV
            tags = ImageFileDirectory_v2(file.read(8))
            file.seek(tags.next)
            tags.load(file)
            return int(tags[IMAGEWIDTH]), int(tags[IMAGELENGTH]), sum(tags.get(BITSPERSAMPLE, (8,))) // 8
        with Image.open(file, formats=_FORMATS) as picture:
            return *picture.size, _png_pixel(data) if picture.format == "PNG" else 3
    except Image.DecompressionBombError as error:
        raise ImageError(f"picture of far too many pixels: {error}", TOO_LARGE) from error
    # Over a damaged header Pillow raises errors of many unrelated kinds.
    except Exception as error:
        what = f"{len(data)} bytes, starting {bytes(data[:8]).hex(' ')}, are damaged or no picture"
        raise ImageError(f"{what}; expected one of {', '.join(_FORMATS)}", NO_PICTURE) from error


def refuse_odd_size(width: int, height: int) -> None:
    """Raise ImageError for an image of too many pixels, or a narrow strip, before it takes memory."""
    if width * height > _MOST_PIXELS:
        most = f"expected at most {_MOST_PIXELS // 10**6} million"
        raise ImageError(f"image of {width}x{height} pixels; {most}, make it smaller", TOO_LARGE)
    if max(width, height) > _LONGEST_ASPECT * max(min(width, height), _SHORTEST):
        raise ImageError(
            f"an image of {width}x{height} pixels is too narrow to describe; expected a longer side of "
            f"at most {_LONGEST_ASPECT} times the shorter one",
            TOO_NARROW,
        )


def decode_message(message: Any) -> np.ndarray:
    """Decode a sensor_msgs/Image or sensor_msgs/CompressedImage, of rosbags or of rclpy.

    Returns
    -------
    (H, W, 3) uint8 RGB, an array of its own; conversions as in `read_image`.

    Raises
    ------
    ImageError
        If the image is empty, cut off, of an unknown encoding or its sizes contradict each other.
    """
    return _decode_compressed(message) if hasattr(message, "format") else _decode_raw(message)


def encode_jpeg(image: np.ndarray, quality: int = 90) -> bytes:
    """Compress a uint8 RGB image (H, W, 3) as JPEG; quality 1 to 100."""
    picture = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ImageError(f"OpenCV cannot compress an image of shape {image.shape} as JPEG")
    return data.tobytes()


def resize_to_fit(image: np.ndarray, longest: int) -> np.ndarray:
    """Shrink an image (H, W, 3) so that its longer side is at most `longest` pixels; never enlarge it."""
    # Halving first is several times as fast as one large step, and averages the same pixels.
    while max(image.shape[:2]) >= 2 * longest and min(image.shape[:2]) > 1:
        image = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _decode_raw(message: Any) -> np.ndarray:
    layout, sample_bytes = _encoding_of(message.encoding)
    pixels = _rows_without_padding(message, layout, sample_bytes)
    if sample_bytes == 2:
        pixels = pixels.view(">u2" if message.is_bigendian else "<u2").astype(np.uint16, copy=False)
    if layout.samples > 1:
        pixels = pixels.reshape(message.height, message.width, layout.samples)
    image = _to_rgb(pixels, layout)
    return _stretch(image) if sample_bytes == 2 else image


def _encoding_of(encoding: str) -> tuple[_Layout, int]:
    """Look up the layout and the bytes of one sample."""
    if encoding not in _ENCODINGS:
        known = f"expected one of {', '.join(sorted(_ENCODINGS))}"
        raise ImageError(f"image encoding {encoding!r} is not known; {known}", UNKNOWN_ENCODING)
    return _ENCODINGS[encoding]


def _rows_without_padding(message: Any, layout: _Layout, sample_bytes: int) -> np.ndarray:
    """Return the rows of an image, (rows, width * bytes a pixel) uint8, after checking all sizes."""
    height, width, step = int(message.height), int(message.width), int(message.step)
    what = f"image of {width}x{height} pixels in {message.encoding}"
    if not (height and width):
        raise ImageError(f"{what} is empty")
    refuse_odd_size(width, height)
    rows = height * 3 // 2 if layout.is_planar else height
    row_bytes = width * layout.samples * sample_bytes
    if step < row_bytes:
        raise ImageError(f"{what} needs rows of {row_bytes} bytes, its step says {step}", CONTRADICTORY)
    data = _bytes_of(message.data)
    if data.size != rows * step:
        state = "cut off" if data.size < rows * step else "too long"
        raise ImageError(
            f"{what} with step {step} needs {rows * step} bytes, found {data.size}: {state}", CONTRADICTORY
        )
    return np.ascontiguousarray(data.reshape(rows, step)[:, :row_bytes])


def _decode_compressed(message: Any) -> np.ndarray:
    # The format says e.g. "jpeg", or "rgb8; jpeg compressed bgr8": the camera's encoding, then the picture's.
    encoding, _, packing = message.format.partition(";")
    if "compressedDepth" in packing or "compressedDepth" in encoding:
        raise ImageError(
            f"compressed image of format {message.format!r} holds depth, not a camera picture", "depth image"
        )
    picture = _decode_file(_bytes_of(message.data))
    if picture.ndim == 2 and encoding.startswith("bayer_"):
        return _to_rgb(picture, _encoding_of(encoding.strip())[0])
    # "compressed rgb8" is a picture written without swapping to OpenCV's order: it decodes as RGB.
    return _to_rgb(picture, _LAYOUTS["rgb" if "compressed rgb" in packing else "bgr"])


def _decode_file(data: bytes | np.ndarray) -> np.ndarray:
    """Decode a picture file in memory to uint8, (H, W) if it is grey, otherwise (H, W, 3) BGR."""
    _, whole = _judge_header(_bytes_of(data).data)
    try:
        picture = cv2.imdecode(_bytes_of(whole), cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        raise ImageError(f"OpenCV cannot decode the picture: {error.err}", NO_PICTURE) from error
    if picture is None:
        start = bytes(whole[:8]).hex(" ")
        what = f"{len(whole)} bytes, starting {start}, are damaged"
        raise ImageError(f"{what} or no picture that OpenCV can read", NO_PICTURE)
    if is_jpeg(whole):
        refuse_incomplete(whole, picture)
    if picture.dtype == np.uint16:
        return _stretch(picture)
    if picture.dtype != np.uint8:
        raise ImageError(f"expected a picture of 8 or 16 bits, found {picture.dtype}", UNKNOWN_ENCODING)
    return picture


def _to_rgb(pixels: np.ndarray, layout: _Layout) -> np.ndarray:
    """Convert uint8 or uint16 pixels to RGB; grey ones, (H, W), whatever colour layout was announced."""
    code = cv2.COLOR_GRAY2RGB if pixels.ndim == 2 and layout.samples == 3 else layout.to_rgb
    if code is None:
        return pixels if pixels.flags.owndata and pixels.flags.writeable else pixels.copy()
    try:
        return cv2.cvtColor(pixels, code)
    except cv2.error as error:
        raise ImageError(f"pixels of shape {pixels.shape} cannot be converted to RGB: {error.err}") from error


def _stretch(values: np.ndarray) -> np.ndarray:
    """Bring 16-bit values to 8 bits so that the picture uses them all.

    Cameras of 10 to 14 bits and thermal ones fill a small part of the range: a division by 256 gives black.
    """
    low, high = np.percentile(values[::2, ::2], (0.1, 99.9))
    if high <= low:
        return (values >> 8).astype(np.uint8)
    scaled = (values.astype(np.float32) - low) * (255 / (high - low))
    return scaled.clip(0, 255).round().astype(np.uint8)


def _bytes_of(data: Any) -> np.ndarray:
    """View bytes, array.array or uint8 array as (N,) uint8, without a copy."""
    return np.frombuffer(data, dtype=np.uint8) if len(data) else np.empty(0, dtype=np.uint8)


def _refuse_cut_png(data: memoryview) -> None:
    """Raise ImageError for a PNG without its end, or with a chunk that is longer than the file.

    Of the first OpenCV 4 returns a half, without a word; for the second OpenCV 5 takes gigabytes.
    """
    if data[:8] != _PNG_START:
        return
    position, kind = len(_PNG_START), b""
    while kind != b"IEND" and position < len(data):
        kind = bytes(data[position + 4 : position + 8])
        position += 12 + int.from_bytes(data[position : position + 4], "big")  # length, kind, checksum
    if position > len(data) or kind != b"IEND":
        raise ImageError(f"PNG of {len(data)} bytes is cut off: its end chunk is missing", CUT_OFF)


def _png_pixel(data: memoryview) -> int:
    """Bytes of a decoded pixel, by depth and colour type in the first chunk."""
    return {2: 3, 3: 3, 4: 2, 6: 4}.get(data[25], 1) * (2 if data[24] == 16 else 1)


_PNG_START = b"\x89PNG\r\n\x1a\n"
