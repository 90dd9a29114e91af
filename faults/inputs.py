"""What comes in: pictures, messages and texts that are damaged, huge, half or hostile."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from PIL import Image

from faults.damage import changed_text, damaged
from faults.trial import Bad, Fault
from netvlad_core.data.camera import Camera
from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.data.geometry import Pose
from netvlad_core.data.images import decode_message, decode_picture
from netvlad_core.data.trajectory import read_tum
from netvlad_core.localization.localizer_options import LocalizerOptions
from netvlad_core.model.preprocessing import check_image
from netvlad_core.settings import read_parameters, settings_of
from netvlad_core.training.config import TrainingConfig

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "PPM")
_MOST_PIXELS = 1 << 26  # as the readers refuse more
_YAML = """/**:
  ros__parameters:
    top_k: 5
    sequence:
      sharpness: 2.0
    verification: true
"""
_TOML = """database = ["drive.csv"]
queries = ["drive.csv"]
epochs = 3
margin = 0.1
"""


def scene(height: int = 120, width: int = 160) -> np.ndarray:
    """A picture with edges and shades."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (9, 12, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def encoded(kind: str, image: np.ndarray, **options: Any) -> bytes:
    stream = BytesIO()
    Image.fromarray(image).save(stream, kind, **options)
    return stream.getvalue()


def pictures(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """Damaged picture files of all formats, and JPEG files that end too early and say that they do not."""
    image = scene()
    for kind in FORMATS:
        data = encoded(kind, image)
        for what, changed in damaged(data, rng, round(250 * share)):
            yield Fault(f"{kind}, {what}", partial(decoded, changed))
    data = encoded("JPEG", image)
    body = data.index(b"\xff\xda") + 14
    for _ in range(round(250 * share)):
        end = int(rng.integers(body, body + (len(data) - body) * 9 // 10))
        yield Fault(f"JPEG, cut at {end}, end put back", partial(_half, data[:end] + b"\xff\xd9"))


def decoded(data: bytes) -> np.ndarray:
    """A picture that can be used, or ImageError."""
    image = decode_picture(data)
    check_image(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise Bad(f"silent: no RGB image: {image.dtype} {image.shape}")
    if image.shape[0] * image.shape[1] > _MOST_PIXELS:
        raise Bad(f"growth: {image.shape}")
    return image


def _half(data: bytes) -> None:
    decoded(data)
    raise Bad("silent: half a picture counts as whole")


def bombs(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """Small files and messages that claim to be huge, and images that scaling would make huge."""
    for width, height in (
        (20_000, 20_000),
        (65_500, 65_500),
        (60_000, 16),
        (16, 60_000),
        (65_535, 1),
        (30_000, 4000),
    ):
        for kind, made in {"JPEG": jpeg_of, "PNG": _png_of, "GIF": _gif_of, "BMP": _bmp_of}.items():
            data = made(width, height)
            yield Fault(f"{kind} of {len(data)} bytes, {width}x{height}", partial(decoded, data))
    for kind in ("WEBP", "PNG", "TIFF"):
        data = encoded(kind, np.zeros((6000, 6000), np.uint8), compression="tiff_deflate")
        yield Fault(f"{kind} of {len(data)} bytes, black, 6000x6000", partial(decoded, data))
    for width, height in (
        (16, 60_000),
        (60_000, 16),
        (4000, 16),
        (1, 1),
        (0, 5),
        (2**31, 2**31),
        (2**32 - 1, 1),
    ):
        for encoding in ("mono8", "rgb8", "mono16", "32FC1", "nonsense", "\0", "yuv422"):
            size = min(width * height * 3, 1 << 20)
            message = SimpleNamespace(
                width=width,
                height=height,
                step=width * 3,
                encoding=encoding,
                is_bigendian=0,
                data=bytes(size),
            )
            yield Fault(f"message {width}x{height} {encoding!r}", partial(_from_message, message))


def _from_message(message: Any) -> None:
    check_image(decode_message(message))


def jpeg_of(width: int, height: int) -> bytes:
    data = bytearray(encoded("JPEG", np.zeros((16, 16, 3), np.uint8)))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def _png_of(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1 << 16), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _gif_of(width: int, height: int) -> bytes:
    data = bytearray(encoded("GIF", scene(16, 16)))
    sizes = struct.pack("<HH", min(width, 65_535), min(height, 65_535))
    data[6:10] = sizes
    at = data.index(b"\x2c")
    data[at + 5 : at + 9] = sizes
    return bytes(data)


def _bmp_of(width: int, height: int) -> bytes:
    data = bytearray(encoded("BMP", scene(16, 16)))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def messages(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """Fields of image, calibration and pose messages drawn from what can and cannot be."""
    numbers = (0.0, -0.0, 1.0, 1e-300, 1e7, 1e150, 1.7e308, np.inf, -np.inf, np.nan, -1.0, 0.7)
    sizes = (0, 1, 2, 3, 4, 16, 17, 640, 2**16, 2**31 - 1, 2**32 - 1)
    encodings = (
        "mono8",
        "rgb8",
        "bgr8",
        "rgba8",
        "mono16",
        "16UC1",
        "8UC3",
        "bayer_rggb8",
        "32FC1",
        "yuv422",
        "",
        "x",
    )
    for number in range(round(6000 * share)):
        if number % 3 == 0:
            width, height, length = (int(rng.choice(sizes[:8])) for _ in range(3))
            message = SimpleNamespace(
                width=int(rng.choice(sizes)) if number % 2 else width,
                height=height,
                step=width * int(rng.integers(0, 5)),
                encoding=str(rng.choice(encodings)),
                is_bigendian=int(rng.integers(3)),
                data=bytes(length * width % 100_000),
            )
            yield Fault(f"image {vars(message)!r:.90}", partial(_from_message, message))
        elif number % 3 == 1:
            values = np.array([1.0, 2.0, 0.5, 0.0, 0.0, 0.6, 0.8])
            values[rng.integers(0, 7, 2)] = rng.choice(numbers, 2)
            yield Fault(f"pose {values.tolist()}", partial(_posed, values))
        else:
            matrix = np.array([500.0, 0, 320, 0, 500, 240, 0, 0, 1])
            projection = np.array([500.0, 0, 320, 0, 0, 500, 240, 0, 0, 0, 1, 0])
            for array in (matrix, projection):
                array[rng.integers(len(array))] = rng.choice(numbers)
            info = SimpleNamespace(
                width=int(rng.choice((640, *sizes))),
                height=480,
                k=matrix,
                d=rng.choice((0.0, 0.1, *numbers), int(rng.choice((0, 4, 5, 8, 3)))),
                r=np.eye(3).ravel(),
                p=projection,
                distortion_model=str(
                    rng.choice(("plumb_bob", "equidistant", "", "rational_polynomial", "x"))
                ),
                binning_x=int(rng.choice((0, 1, 2, 2**31))),
                binning_y=0,
                roi=SimpleNamespace(x_offset=int(rng.choice(sizes)), y_offset=0, width=0, height=0),
            )
            yield Fault(f"camera {vars(info)!r:.90}", partial(_calibrated, info))


def _posed(values: np.ndarray) -> None:
    pose = Pose.from_values(values[:3], values[3:])
    moved = pose @ pose.inverse()
    if not np.isfinite([*moved.position, *moved.quaternion]).all():
        raise Bad("silent: a pose whose inverse is none")


def _calibrated(info: Any) -> None:
    camera = Camera.from_message(info, Pose.identity())
    rays = camera.rays(np.array([[0.0, 0.0], [info.width / 2, info.height / 2]]))
    if np.isinf(rays).any():
        raise Bad("silent: a calibration whose rays are infinite")


def texts(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """Catalogues, trajectories, parameter and training files with words and lines that do not belong."""
    for index in range(5):
        cv2.imwrite(str(folder / f"{index}.png"), scene(48, 64))
    rows = "\n".join(f"{i}.png,{10 + i},{i}.5,0.0,0.1" for i in range(5))
    readers: dict[str, tuple[str, Callable[[Path], object]]] = {
        "drive.csv": (f"image,stamp,x,y,yaw\n{rows}\n", _catalogue),
        "poses.tum": ("\n".join(f"{10 + i}.25 {i} 0 0 0 0 0 1" for i in range(8)) + "\n", _trajectory),
        "node.yaml": (_YAML, _parameters),
        "training.toml": (_TOML, TrainingConfig.from_toml),
    }
    for name, (text, read) in readers.items():
        for what, changed in changed_text(text, rng, round(500 * share)):
            yield Fault(
                f"{name}, {what}", partial(_read, folder / name, changed.encode(errors="surrogatepass"), read)
            )
        for what, data in damaged(text.encode(), rng, round(250 * share)):
            yield Fault(f"{name}, {what}", partial(_read, folder / name, data, read))


def _read(path: Path, data: bytes, read: Callable[[Path], object]) -> None:
    path.write_bytes(data)
    read(path)


def _catalogue(path: Path) -> None:
    for frame in CatalogueSource.from_csv(path):
        if frame.pose is not None and not np.isfinite(frame.pose.position).all():
            raise Bad("silent: a frame at no finite position")


def _trajectory(path: Path) -> None:
    trajectory = read_tum(path)
    for index in range(len(trajectory)):
        if not np.isfinite(trajectory[index].position).all():
            raise Bad("silent: a pose at no finite position")


def _parameters(path: Path) -> None:
    read_parameters(path, settings_of(LocalizerOptions()))
