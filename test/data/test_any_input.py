"""Whatever pictures, tables, settings and calibrations hold: a value, or an error that is a sentence."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("hypothesis")
from hypothesis import example, given
from hypothesis import strategies as st

from netvlad_core.data.camera import Camera
from netvlad_core.data.catalogue import read_catalogue
from netvlad_core.data.geometry import Pose
from netvlad_core.data.images import decode_message
from netvlad_core.data.trajectory import read_tum
from netvlad_core.errors import CameraError, ImageError, NetvladError, PoseError, SettingError, SourceError
from netvlad_core.localization.localizer_options import LocalizerOptions
from netvlad_core.settings import read_parameters, settings_of, with_settings
from netvlad_core.training.config import TrainingConfig
from support.any_input import AS_ALWAYS, FLOATS, UINT32, WRITTEN, instead, spoiled, value_or_sentence
from support.images import known_picture

_ENCODINGS = [
    "rgb8",
    "bgra8",
    "mono8",
    "mono16",
    "rgba16",
    "bayer_rggb8",
    "nv12",
    "uyvy",
    "32FC1",
    "",
    "jpeg",
]
_PICTURES = [
    cv2.imencode(suffix, known_picture(48, 64))[1].tobytes()
    for suffix in (".jpg", ".png", ".bmp", ".tiff", ".webp", ".ppm", ".gif", ".jp2", ".avif")
]
_KNOWN = settings_of(LocalizerOptions())


def _is_image(image: Any) -> bool:
    return image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size > 0


@AS_ALWAYS
@given(
    st.sampled_from(_ENCODINGS),
    *[instead(st.just(usual), UINT32) for usual in (24, 32, 96)],
    instead(st.just(24 * 96), st.integers(0, 10_000)),
    st.integers(0, 1),
)
def test_a_raw_image_message(encoding, height, width, step, length, is_bigendian) -> None:
    fields = {"encoding": encoding, "is_bigendian": is_bigendian, "data": bytes(length)}
    message = SimpleNamespace(height=height, width=width, step=step, **fields)
    image = value_or_sentence(ImageError, "", decode_message, message)
    assert image is None or _is_image(image)


@AS_ALWAYS
@given(
    spoiled(st.sampled_from(_PICTURES) | st.binary(max_size=50)),
    st.sampled_from(["jpeg", "rgb8; jpeg compressed bgr8", "bayer_rggb8; jpeg compressed", ";"]) | st.text(),
)
def test_a_compressed_image_message(data, format_) -> None:
    message = SimpleNamespace(format=format_, data=data)
    image = value_or_sentence(ImageError, "", decode_message, message)
    assert image is None or _is_image(image)


@AS_ALWAYS
@given(st.lists(FLOATS, min_size=3, max_size=3), st.lists(FLOATS, min_size=4, max_size=4))
def test_a_pose(position, quaternion) -> None:
    try:
        pose = Pose.from_values(position, quaternion)
    except PoseError:
        return
    np.testing.assert_allclose(np.linalg.norm(pose.quaternion), 1.0, rtol=1e-12)
    assert np.isfinite((pose.inverse() @ pose).position).all()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that each example writes anew."""
    return tmp_path / "input"


@AS_ALWAYS
@given(st.lists(st.lists(WRITTEN, min_size=6, max_size=8).map(" ".join), max_size=4), st.binary(max_size=4))
@example(["1e999990 0 0 0 0 0 0 1"], b"")
@example(["1 0 0 0 0 0 0 1"], b"\xff")
@example(["1 0 0 0 0 0 1e200 1e200"], b"")
def test_a_trajectory(file, lines, rest) -> None:
    file.write_bytes("\n".join(lines).encode(errors="surrogatepass") + rest)
    trajectory = value_or_sentence(SourceError, str(file), read_tum, file)
    if trajectory is None:
        return
    assert np.isfinite(trajectory.positions).all()
    assert (np.diff(trajectory.stamps) > 0).all()


@AS_ALWAYS
@given(
    st.sampled_from(["image,x,y", "image,x,y,stamp,yaw", "image,x,y,z,qx,qy,qz,qw", "x,image,y,label,stamp"]),
    st.lists(st.lists(instead(st.just("1"), WRITTEN), min_size=3, max_size=8).map(",".join), max_size=4),
    st.binary(max_size=4),
)
@example("image,x,y,stamp", ["1,1,1,1e999990"], b"")
@example("image,x,y", ["1,1,1", "null\0byte,1,1", "n" * 5000 + ",1,1"], b"")
def test_a_catalogue(file, header, rows, rest) -> None:
    (file.parent / "1").touch()  # an image that exists
    file.write_bytes("\n".join([header, *rows]).encode(errors="surrogatepass") + rest)
    images = value_or_sentence(SourceError, str(file), read_catalogue, file) or []
    assert all(np.isfinite(image.pose.position).all() for image in images)


def _yaml_values() -> st.SearchStrategy[str]:
    nested = st.sampled_from(
        ["[" * 3000, "&a [*a]", "!!timestamp 5", "!!binary x", "2001-99-99", "{? [] : 1}"]
    )
    lists = st.lists(WRITTEN, max_size=3).map(lambda parts: f"[{', '.join(parts)}]")
    return WRITTEN | nested | lists


@AS_ALWAYS
@given(st.lists(st.tuples(st.sampled_from(sorted(_KNOWN)) | st.text(max_size=5), _yaml_values()), max_size=3))
def test_a_parameter_file(file, entries) -> None:
    lines = "".join(f"    {name}: {value}\n" for name, value in entries)
    file.write_bytes(f"/**:\n  ros__parameters:\n{lines}".encode(errors="surrogatepass"))
    values = value_or_sentence(SettingError, str(file), read_parameters, file, _KNOWN)
    with_settings(LocalizerOptions(), values or {})


@AS_ALWAYS
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["epochs", "margin", "weights", "database", "trainable", "a.b", '"k"']),
            WRITTEN
            | st.sampled_from(["[" * 3000, '"~nobody-here/x"', '"\\u0000"', "1979-05-27", "[1, [2]]"]),
        ),
        max_size=3,
    )
)
def test_a_training_configuration(file, entries) -> None:
    file.write_bytes("".join(f"{k} = {v}\n" for k, v in entries).encode(errors="surrogatepass"))
    value_or_sentence(NetvladError, str(file), TrainingConfig.from_toml, file)


@AS_ALWAYS
@given(
    instead(st.just(640), UINT32),
    instead(st.just(480), UINT32),
    st.sampled_from(["plumb_bob", "equidistant", "rational_polynomial", "", "fish"]),
    st.lists(instead(st.just(0.0), FLOATS), max_size=15),
    st.lists(instead(st.just(300.0), FLOATS), min_size=9, max_size=9),
    st.lists(instead(st.just(0.0), FLOATS), min_size=9, max_size=9),
    st.lists(instead(st.just(300.0), FLOATS), min_size=12, max_size=12),
    st.lists(instead(st.just(0), UINT32), min_size=6, max_size=6),
    st.booleans(),
)
@np.errstate(all="ignore")
def test_a_calibration(width, height, model, d, k, r, p, region, is_rectified) -> None:
    names = ("x_offset", "y_offset", "width", "height")
    info = SimpleNamespace(
        width=width, height=height, distortion_model=model, d=d, k=k, r=r, p=p,
        roi=SimpleNamespace(**dict(zip(names, region))), binning_x=region[4], binning_y=region[5],
    )  # fmt: skip
    camera = value_or_sentence(CameraError, "", Camera.from_message, info, Pose.identity(), is_rectified)
    if camera is None:
        return
    again = Camera.from_json(camera.to_json())
    np.testing.assert_array_equal(again.matrix, camera.matrix)
    assert np.isfinite(again.mounting.quaternion).all()
