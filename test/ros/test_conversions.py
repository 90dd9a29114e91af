"""Messages become images and back, by either decoder; stamps and poses survive."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from netvlad_core.data.geometry import Pose
from netvlad_core.errors import ImageError
from netvlad_core.localization.answer import Localization
from netvlad_core.localization.pose_prior import PosePrior
from netvlad_core.localization.tracking.sequence_filter import Belief, State
from netvlad_core.mapping.places import Match
from netvlad_ros import conversions
from netvlad_ros.msg import PlaceMatches
from support.images import known_picture, pixel_bytes

_COLOUR = ("rgb8", "bgr8", "rgba8", "bgra8", "8UC3", "rgb16", "bgr16", "rgba16", "bgra16")
_BAYER = tuple(f"bayer_{pattern}{bits}" for pattern in ("rggb", "bggr", "gbrg", "grbg") for bits in (8, 16))
_YUV = ("uyvy", "yuv422", "yuyv", "yuv422_yuy2", "nv12", "nv21")
_GREY = ("mono8", "8UC1", "mono16")
_PICTURE = known_picture()


@pytest.fixture(params=["core", "cv_bridge"] if find_spec("cv_bridge") else ["core"])
def decode(request, monkeypatch):
    """`image_from_message` over each decoder that is here."""
    bridge = None if request.param == "core" else pytest.importorskip("cv_bridge").CvBridge()
    monkeypatch.setattr(conversions, "_bridge", bridge)
    return conversions.image_from_message


def _message(encoding: str, padding: int = 0) -> Image:
    rows = np.pad(pixel_bytes(_PICTURE, encoding), ((0, 0), (0, padding)), constant_values=77)
    height, width = _PICTURE.shape[:2]
    message = Image(height=height, width=width, encoding=encoding, step=rows.shape[1])
    message.data = rows.tobytes()
    return message


@pytest.mark.parametrize("padding", [0, 10])
@pytest.mark.parametrize("encoding", _COLOUR + _BAYER + _YUV)
def test_raw_colour(decode, encoding, padding):
    image = decode(_message(encoding, padding))
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    # Sixteen bits are stretched to the full range; a mosaic is interpolated.
    expected = _stretched(_PICTURE) if "16" in encoding else _PICTURE
    error = np.abs(image.astype(int) - expected)[2:-2, 2:-2]
    assert error.mean() < (6 if encoding in _YUV or encoding in _BAYER else 1.5)


@pytest.mark.parametrize("encoding", _GREY)
def test_raw_grey(decode, encoding):
    image = decode(_message(encoding))
    grey = cv2.cvtColor(_PICTURE, cv2.COLOR_RGB2GRAY)[..., None]
    expected = _stretched(grey) if "16" in encoding else grey
    assert np.abs(image.astype(int) - expected).mean() < 1.5
    assert (image[..., 0] == image[..., 2]).all()


@pytest.mark.parametrize(
    "format_", ["jpeg", "png", "rgb8; jpeg compressed bgr8", "bgr8; png compressed bgr8"]
)
def test_compressed(decode, format_):
    suffix = ".png" if "png" in format_ else ".jpg"
    message = CompressedImage(format=format_)
    message.data = cv2.imencode(suffix, _PICTURE[..., ::-1])[1].tobytes()
    assert np.abs(decode(message).astype(int) - _PICTURE).mean() < 3


def _too_short() -> Image:
    message = _message("rgb8")
    message.data = message.data[:-1]
    return message


def _wrong_step() -> Image:
    message = _message("bgr8")
    message.step = 10
    return message


def _truncated(suffix: str) -> CompressedImage:
    message = CompressedImage(format=suffix[1:])
    message.data = cv2.imencode(suffix, _PICTURE[..., ::-1])[1].tobytes()[:-40]
    return message


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (Image(encoding="rgb8"), "empty"),
        (Image(encoding="32FC1", height=2, width=2, step=8, data=bytes(16)), "not known"),
        (_too_short(), "cut off"),
        (_wrong_step(), "step"),
        (CompressedImage(format="jpeg"), "empty"),
        (_truncated(".jpg"), "cut off"),
        (_truncated(".png"), "cut off"),
        (CompressedImage(format="jpeg", data=b"no picture at all"), "no picture"),
    ],
)
def test_wrong_image_is_refused_with_a_sentence(decode, message, words):
    with pytest.raises(ImageError, match=words):
        decode(message)


def test_image_there_and_back(decode):
    header = Header(stamp=Time(sec=3, nanosec=4), frame_id="camera")
    message = conversions.image_to_message(_PICTURE, header)
    assert (message.header, message.step) == (header, 3 * _PICTURE.shape[1])
    np.testing.assert_array_equal(decode(message), _PICTURE)


@pytest.mark.parametrize("nanoseconds", [0, 1, 999_999_999, 1_700_000_000_123_456_789, (2**31 - 1) * 10**9])
def test_stamp_there_and_back(nanoseconds):
    assert conversions.stamp_to_nanoseconds(conversions.stamp_from_nanoseconds(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(("nanoseconds", "seconds"), [(-1, 0), (-(10**20), 0), (2**31 * 10**9, 2**31 - 1)])
def test_stamp_that_ros_cannot_say_becomes_the_nearest(nanoseconds, seconds):
    assert conversions.stamp_from_nanoseconds(nanoseconds) == Time(sec=seconds)


def test_place_without_a_pose_has_a_pose_of_nan():
    message = conversions.match_to_message(Match(7, -5, 0.25, None))
    assert (message.place_id, message.place_stamp, message.similarity) == (7, Time(), 0.25)
    assert np.isnan([message.pose.position.x, message.pose.orientation.w]).all()


def test_message_speaks_of_the_place_believed_in_not_of_the_first_match():
    belief = Belief(State.LOCALIZED, 1.0, place=7, probability=0.97, is_reversed=False)
    matches = [Match(3, 0, 0.9, None), Match(7, 0, 0.8, None)]
    prior = PosePrior(Pose.identity(), np.eye(6), 1.0)
    descriptor = np.zeros(4, np.float32)
    answer = Localization(5, State.LOCALIZED, matches, prior, descriptor, 1.0, belief)
    facts = SimpleNamespace(header=SimpleNamespace(model_id="model", map_id="map"))
    message = conversions.matches_to_message(answer, facts, Header(frame_id="odom"))
    assert (message.state, message.place_id, message.reason) == (PlaceMatches.LOCALIZED, 7, "")
    assert message.probability == pytest.approx(0.97)
    assert [match.place_id for match in message.matches] == [3, 7]
    lost = replace(answer, state=State.LOST, prior=None, reason="no match")
    assert conversions.matches_to_message(lost, facts, Header()).reason == "no match"


def test_covariance_is_row_major_and_its_header_is_kept():
    covariance = np.arange(36.0).reshape(6, 6)
    prior = PosePrior(Pose.from_xyz_yaw(1.0, 2.0, 3.0, 0.5), covariance, 1.0)
    message = conversions.prior_to_message(prior, Header(frame_id="map"))
    assert message.header.frame_id == "map"
    assert message.pose.covariance[6 * 2 + 5] == covariance[2, 5]
    position = message.pose.pose.position
    assert (position.x, position.y, position.z) == (1.0, 2.0, 3.0)
    assert message.pose.pose.orientation.z == pytest.approx(np.sin(0.25))


def test_descriptor_is_carried_exactly():
    descriptor = np.random.default_rng(0).normal(size=7168).astype(np.float32)
    message = conversions.descriptor_to_message(descriptor, "model", Header())
    np.testing.assert_array_equal(np.array(message.descriptor, np.float32), descriptor)


def test_no_map_is_told_by_empty_fields():
    message = conversions.map_to_message(None, Header(frame_id="map"))
    assert (message.map_id, message.places, message.header.frame_id) == ("", 0, "map")


def _stretched(values: np.ndarray) -> np.ndarray:
    low, high = np.percentile(values, (0.1, 99.9))
    return ((values.astype(float) - low) * 255 / (high - low)).clip(0, 255)


class _Bridge:
    """What cv_bridge does with sizes: it believes them."""

    def __init__(self) -> None:
        self.calls = 0

    def imgmsg_to_cv2(self, message: Image, encoding: str) -> np.ndarray:
        self.calls += 1
        shape = (message.height, message.width, 3)
        pixels = np.ndarray(shape, np.uint8, buffer=message.data)
        return pixels if message.encoding == encoding else pixels[..., ::-1]


def test_bridge_gets_plain_images_alone(monkeypatch):
    bridge = _Bridge()
    monkeypatch.setattr(conversions, "_bridge", bridge)
    for encoding in ("rgb8", "bgr8"):
        for padding in (0, 6):
            image = conversions.image_from_message(_message(encoding, padding))
            np.testing.assert_array_equal(image, _PICTURE)
    for wrong in (_too_short(), _wrong_step(), Image(encoding="rgb8")):
        with pytest.raises(ImageError):
            conversions.image_from_message(wrong)
    assert bridge.calls == 2


_DECODE = """
import numpy as np
from sensor_msgs.msg import Image
from netvlad_ros.conversions import image_from_message
pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
for encoding, expected in [("rgb8", pixels), ("bgr8", pixels[..., ::-1])] * 3:
    message = Image(height=2, width=4, encoding=encoding, step=12, data=pixels.tobytes())
    np.testing.assert_array_equal(image_from_message(message), expected)
"""
_BUILT_FOR_ANOTHER_NUMPY = "raise ImportError('numpy.core.multiarray failed to import')"
_COMPILED_HALF_IS_MISSING = """
class CvBridge:
    def imgmsg_to_cv2(self, message, encoding):
        from cv_bridge.boost.cv_bridge_boost import cvtColor2
"""


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (_BUILT_FOR_ANOTHER_NUMPY, "ImportError: numpy.core.multiarray failed"),
        ("raise AttributeError('_ARRAY_API not found')", "AttributeError: _ARRAY_API not found"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        (_COMPILED_HALF_IS_MISSING, "ModuleNotFoundError: No module named 'cv_bridge.boost'"),
        ("", "cannot import name 'CvBridge'"),
    ],
)
def test_broken_bridge_is_told_once_and_does_without(tmp_path, module, reason):
    (tmp_path / "cv_bridge").mkdir()
    (tmp_path / "cv_bridge" / "__init__.py").write_text(module)
    start = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n{_DECODE}"
    done = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    (warning,) = done.stderr.splitlines()
    assert "WARN" in warning
    assert "cv_bridge is installed but does not work" in warning
    assert reason in warning


@pytest.mark.skipif(find_spec("cv_bridge") is not None, reason="cv_bridge is installed here")
def test_missing_bridge_is_no_matter():
    done = subprocess.run([sys.executable, "-c", _DECODE], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
