"""A calibrated camera: pixels to rays, and its pose on the robot."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from netvlad_core.data.geometry import Pose
from netvlad_core.errors import CameraError, PoseError

# sensor_msgs/CameraInfo's names of distortion models, and how many coefficients OpenCV takes for each.
_MODELS = {"": (0,), "plumb_bob": (0, 4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (0, 4)}
# Of focal lengths in pixels, and of all numbers of a calibration; rays beyond them are infinite.
_LEAST, _MOST = 1e-3, 1e9


# image_proc, stereo_image_proc, ZED and RealSense: image_rect, image_rect_color, image_rect_raw.
_RECTIFIED = re.compile(r"(^|[/_])rect(ified)?($|[/_])")


@dataclass(frozen=True, eq=False)
class Camera:
    """Pinhole camera with lens distortion, as sensor_msgs/CameraInfo describes it.

    Attributes
    ----------
    width, height : size in pixels of the images for which the matrix holds.
    matrix : (3, 3) float64, pixels <- optical frame (z forward, x right, y down).
    model, distortion : name of the distortion model in CameraInfo, and its coefficients (N,) float64.
    mounting : base_link <- optical frame.

    Examples
    --------
    >>> import numpy as np
    >>> from netvlad_core import Camera, Pose
    >>> matrix = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    >>> forward = Pose.from_values([0.3, 0, 1.2], [-0.5, 0.5, -0.5, 0.5])  # base_link <- optical frame
    >>> camera = Camera(640, 480, matrix, "plumb_bob", np.zeros(5), forward)
    >>> Camera.from_json(camera.to_json()).matrix.tolist() == matrix.tolist()
    True
    """

    width: int
    height: int
    matrix: np.ndarray
    model: str
    distortion: np.ndarray
    mounting: Pose

    @classmethod
    def from_message(cls, info: Any, mounting: Pose, is_rectified: bool = False) -> Camera:
        """Read a sensor_msgs/CameraInfo of rosbags or of rclpy (ROS 1 writes its fields in capitals).

        Parameters
        ----------
        mounting : base_link <- frame of the camera.
        is_rectified : whether its images are rectified, see `is_rectified`. Then matrix P holds, without
            distortion, for a camera that is turned by R.

        Raises
        ------
        CameraError
            If the camera is not calibrated or its calibration makes no sense.
        """
        binning = np.array([max(1, info.binning_x), max(1, info.binning_y)])
        roi = info.roi
        width, height = np.array([roi.width or info.width, roi.height or info.height]) // binning
        k, d, r, p = (getattr(info, name, None) for name in "kdrp")
        if k is None:  # ROS 1
            k, d, r, p = info.K, info.D, info.R, info.P
        model, matrix = info.distortion_model, np.array(k, np.float64).reshape(3, 3)
        if is_rectified:
            model, d, matrix = "", (), np.array(p, np.float64).reshape(3, 4)[:, :3]
            turn = np.array(r, np.float64).reshape(3, 3)
            # Drivers of single cameras leave R at zero.
            if turn.any() and not np.array_equal(turn, np.eye(3)):
                mounting = mounting @ _turned_back(turn)
        matrix[:2, 2] -= roi.x_offset, roi.y_offset
        matrix[:2] /= binning[:, None]
        return cls.from_values(int(width), int(height), matrix, model, d, mounting)

    @classmethod
    def from_values(
        cls, width: int, height: int, matrix: Any, model: str, distortion: Any, mounting: Pose
    ) -> Camera:
        """Check raw numbers; raises CameraError."""
        matrix = np.asarray(matrix, np.float64).reshape(3, 3)
        distortion = np.asarray(distortion, np.float64).ravel()
        if not (0 < width < 1 << 32 and 0 < height < 1 << 32 and min(matrix[0, 0], matrix[1, 1]) > _LEAST):
            raise CameraError(
                f"the camera is not calibrated: size {width}x{height}, focal lengths {matrix[0, 0]:g} and "
                f"{matrix[1, 1]:g}; camera_info must hold the calibration"
            )
        if not (np.abs([*matrix.ravel(), *distortion]) < _MOST).all():  # false for NaN
            raise CameraError(
                f"the camera's calibration holds numbers that are not finite, or beyond {_MOST:g}"
            )
        if len(distortion) not in _MODELS.get(model, ()):
            raise CameraError(
                f"distortion model {model!r} with {len(distortion)} coefficients is not known; expected "
                f"{', '.join(name for name in _MODELS if name)}"
            )
        return cls(width, height, matrix, model, distortion, mounting)

    def scaled_to(self, width: int, height: int) -> Camera:
        """The same camera with its images resized; raises CameraError for another shape of the images."""
        x, y = width / self.width, height / self.height
        if abs(x - y) * max(self.width, self.height) > 2:
            raise CameraError(
                f"an image of {width}x{height} is no resized one of the calibrated {self.width}x{self.height}"
            )
        shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # 0, 0 is the middle of the first pixel
        matrix = np.linalg.inv(shift) @ np.diag([x, y, 1.0]) @ shift @ self.matrix
        return replace(self, width=width, height=height, matrix=matrix)

    def rays(self, points: np.ndarray) -> np.ndarray:
        """Pixels (N, 2) to x/z, y/z in the optical frame, (N, 2) float64, free of distortion."""
        if not len(points):
            return np.empty((0, 2))
        undistort = cv2.fisheye.undistortPoints if self.model == "equidistant" else cv2.undistortPoints
        coefficients = self.distortion if len(self.distortion) else np.zeros(4)
        return undistort(np.asarray(points, np.float64)[:, None], self.matrix, coefficients)[:, 0]

    @property
    def focal_length(self) -> float:
        """Focal length in pixels, mean of both axes."""
        return float(np.diag(self.matrix)[:2].mean())

    def to_json(self) -> str:
        mounting = [*self.mounting.position.tolist(), *self.mounting.quaternion.tolist()]
        arrays = {"matrix": self.matrix.tolist(), "distortion": self.distortion.tolist()}
        return json.dumps({**vars(self), **arrays, "mounting": mounting}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Camera:
        """Parse what `to_json` has written; raises CameraError."""
        try:
            values = {**json.loads(text)}
            mounting = values.pop("mounting")
            return cls.from_values(**values, mounting=Pose.from_values(mounting[:3], mounting[3:]))
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError, PoseError) as error:
            raise CameraError(f"the description of the camera is not readable: {error!r}") from error


def is_rectified(topic: str) -> bool:
    """Tell from the name of an image topic, or of one below it, whether its images are rectified."""
    return _RECTIFIED.search(topic) is not None


def _turned_back(turn: np.ndarray) -> Pose:
    """Pose camera <- rectified camera of a matrix R (3, 3); raises CameraError if it is no rotation."""
    if not np.allclose(turn @ turn.T, np.eye(3), atol=1e-3) or np.linalg.det(turn) < 0:
        raise CameraError("the matrix R of camera_info is no rotation; calibrate the camera again")
    return Pose(np.zeros(3), Rotation.from_matrix(turn.T).as_quat())
