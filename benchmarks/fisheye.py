"""Metric poses through a fisheye lens, beside those through a pinhole camera on the same way.

The rendered town is driven at noon, a place each metre, and in the evening in another lane. Both lenses see
the same from the same positions; the fisheye is equidistant, 255 pixels a radian, and covers 124 degrees.
What lies beyond, black as the rim of such an image is, has no features. Each evening image is compared with
the nearest place, whose points come from the two places before and the two behind it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from benchmarks._measure import parser, print_table
from netvlad_core.data.camera import Camera
from netvlad_core.data.geometry import Pose
from netvlad_core.geometry.local_features import LocalFeatures, find_features
from netvlad_core.geometry.structure import View, triangulate
from netvlad_core.geometry.two_views import compare
from netvlad_core.localization.geometry.resection import resect
from town.drives import CAMERA_POSITION, CAMERA_ROTATION, FIRST, SECOND_DRIVE, Drive
from town.motion import Motion
from town.renderer import Renderer
from town.town import make_town

_WIDTH, _HEIGHT = 640, 480
_PER_RADIAN = 255.0  # pixels
_MIDDLE = np.array([(_WIDTH - 1) / 2, (_HEIGHT - 1) / 2])
_COVERED = np.radians(62)
_MOUNTING = Pose(np.asarray(CAMERA_POSITION, np.float64), CAMERA_ROTATION.as_quat())
_START = 30.0  # metres along the route
_AROUND = 2  # places before and behind one

Images = list[tuple[Pose, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Lens:
    """A camera, and how the renderer's image becomes one of it."""

    camera: Camera
    rendered: tuple[int, int, float]  # width, height, horizontal field of view in degrees
    bend: Callable[[np.ndarray], np.ndarray]

    def features(self, image: np.ndarray) -> LocalFeatures:
        found = find_features(image)
        if self.camera.model != "equidistant":
            return found
        return found.take(np.linalg.norm(found.points - _MIDDLE, axis=1) < _COVERED * _PER_RADIAN)


def pinhole() -> Lens:
    focal = 0.5 * _WIDTH / np.tan(np.radians(75.0) / 2)
    return Lens(_camera(focal, "", np.empty(0)), (_WIDTH, _HEIGHT, 75.0), lambda image: image)


def fisheye() -> Lens:
    size, view = (2 * _WIDTH, 2 * _HEIGHT), 140.0
    focal = 0.5 * size[0] / np.tan(np.radians(view) / 2)
    rays = (np.stack(np.meshgrid(np.arange(_WIDTH), np.arange(_HEIGHT)), axis=-1) - _MIDDLE) / _PER_RADIAN
    angle = np.linalg.norm(rays, axis=-1, keepdims=True)
    flat = rays * np.tan(np.minimum(angle, 1.5)) / np.maximum(angle, 1e-9)
    columns, rows = np.moveaxis((flat * focal + (np.array(size) - 1) / 2).astype(np.float32), -1, 0)
    camera = _camera(_PER_RADIAN, "equidistant", np.zeros(4))
    return Lens(camera, (*size, view), lambda image: cv2.remap(image, columns, rows, cv2.INTER_LINEAR))


def _camera(focal: float, model: str, distortion: np.ndarray) -> Camera:
    matrix = np.array([[focal, 0, _MIDDLE[0]], [0, focal, _MIDDLE[1]], [0, 0, 1]])
    return Camera(_WIDTH, _HEIGHT, matrix, model, distortion, _MOUNTING)


def images(lens: Lens, drive: Drive, metres: float, step: float) -> Images:
    """What the lens sees along the drive, an image every `step` metres."""
    town = make_town(drive.seed, drive.parking_seed, drive.designs, drive.plan)
    motion = Motion(town.route, drive.manner, _START, metres, np.random.default_rng(drive.seed))
    positions, quaternions = motion.pose(np.arange(0.0, motion.duration, 0.02))
    driven = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(positions, axis=0), axis=1))])
    width, height, view = lens.rendered
    renderer = Renderer(town, drive.light, width, height, hfov_deg=view)
    seen = []
    for row in np.unique(np.searchsorted(driven[:-1], np.arange(0.0, driven[-1], step))):
        base = Rotation.from_quat(quaternions[row])
        eye = positions[row] + base.apply(CAMERA_POSITION)
        picture = renderer.render(eye, (base * CAMERA_ROTATION).as_quat())
        seen.append((Pose(positions[row], quaternions[row]), lens.bend(picture)))
    renderer.close()
    return seen


def errors(lens: Lens, places: Images, queries: Images) -> tuple[list[float], int]:
    """Metres by which the metric poses are off, and the number of queries."""
    views = [View(lens.features(image), lens.camera, pose) for pose, image in places]
    positions = np.array([pose.position for pose, _ in places])
    found, count = [], 0
    for truth, image in queries:
        nearest = int(np.argmin(np.linalg.norm(positions - truth.position, axis=1)))
        if not _AROUND <= nearest < len(views) - _AROUND:
            continue
        count += 1
        view, features = views[nearest], lens.features(image)
        others = [views[nearest + step] for step in range(-_AROUND, _AROUND + 1) if step]
        inliers = compare(features, view.features, lens.camera, lens.camera).inliers
        estimate = resect(triangulate(view, others), inliers, features, lens.camera)
        if estimate is not None:
            found.append(float(np.linalg.norm(estimate.pose.position - truth.position)))
    return found, count


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--metres", type=float, default=60.0, help="driven (default: %(default)s)")
    options: argparse.Namespace = arguments.parse_args()
    rows = []
    for name, lens in (("pinhole, 75 degrees", pinhole()), ("fisheye, 124 degrees", fisheye())):
        places = images(lens, FIRST, options.metres, 1.0)
        found, count = errors(lens, places, images(lens, SECOND_DRIVE, options.metres, 2.0))
        rows.append([name, count, len(found), f"{np.median(found):.3f}", f"{np.max(found):.3f}"])
    print_table(["lens", "images", "metric poses", "median error, m", "largest, m"], rows)


if __name__ == "__main__":
    main()
