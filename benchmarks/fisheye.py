"""One image alone through a fisheye lens, beside a pinhole camera on the same way, and each in the other map.

The rendered town is mapped at noon through both, a place each 1.6 m, and driven as in `benchmarks.one_image`:
each seed has other parked cars, another lane and another sway, and its images are 25 m apart, in the evening
or by night; other towns are not on the map. The fisheye is equidistant, 640x480, 255 pixels a radian, and
covers 124 degrees; beyond, it is black, as the rim of such an image is. The pinhole camera has 320x240 pixels
and 75 degrees. Both are resampled from a rendered image of 140 degrees; these are kept in the folder of
`--work`.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from benchmarks._measure import print_table
from benchmarks.one_image import HEADER, Images, answers, drive_of, eye, row, spaced, weathered
from benchmarks.scenes import ELSEWHERE, Workshop, add_arguments, workshop
from netvlad_core.data.camera import Camera
from netvlad_core.data.frames import Frame
from netvlad_core.data.geometry import Pose
from netvlad_core.localization.geometry.verification_options import VerificationOptions
from netvlad_core.localization.localizer import Localizer
from netvlad_core.localization.localizer_options import LocalizerOptions
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.place_map import PlaceMap

_RENDERED, _VIEW = np.array((1280, 960)), np.radians(140.0)
_SPACING = 1.6  # metres between places
_COVERED = np.radians(62.0)  # from the middle
_LIGHTS = ("evening", "night")


@dataclass(frozen=True, eq=False)
class Lens:
    """A camera, and how a rendered image becomes one of it."""

    name: str
    camera: Camera

    def bend(self, rendered: np.ndarray) -> np.ndarray:
        """What the camera sees of the rendered image (960, 1280, 3)."""
        size = self.camera.width, self.camera.height
        pixels = np.stack(np.meshgrid(np.arange(size[0]), np.arange(size[1])), axis=-1).reshape(-1, 2)
        rays = self.camera.rays(pixels)
        focal = 0.5 * _RENDERED[0] / np.tan(_VIEW / 2)
        columns, rows = (rays * focal + (_RENDERED - 1) / 2).astype(np.float32).T.reshape(2, *size[::-1])
        image = cv2.remap(rendered, columns, rows, cv2.INTER_LINEAR)
        image[np.arctan(np.linalg.norm(rays, axis=1)).reshape(size[::-1]) > _COVERED] = 0
        return image


def lenses() -> list[Lens]:
    pinhole = _camera(320, 240, 160 / np.tan(np.radians(75.0) / 2), "")
    return [Lens("pinhole", pinhole), Lens("fisheye", _camera(640, 480, 255.0, "equidistant"))]


def _camera(width: int, height: int, focal: float, model: str) -> Camera:
    from town.drives import CAMERA_POSITION, CAMERA_ROTATION

    matrix = [[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]]
    mounting = Pose.from_values(CAMERA_POSITION, CAMERA_ROTATION.as_quat())
    return Camera.from_values(width, height, matrix, model, np.zeros(4 if model else 0), mounting)


class Rendered:
    """A drive seen through a lens, a `FrameSource`: a folder of rendered images."""

    description, frame_id, remark, is_stream, origin = "rendered town", "map", "", False, None

    def __init__(self, folder: Path, lens: Lens) -> None:
        self.folder, self.lens, self.camera = folder, lens, lens.camera
        self.fingerprint = f"{folder.name} {lens.name}"
        self.skipped: Counter[str] = Counter()

    @property
    def usable(self) -> int:
        return len(self)

    def __len__(self) -> int:
        return len(np.load(self.folder / "poses.npy"))

    def __iter__(self) -> Iterator[Frame]:
        for number, pose in enumerate(np.load(self.folder / "poses.npy")):
            decode = partial(self._decode, self.folder / f"{number}.jpg")
            yield Frame(str(number), number * 10**9, Pose(pose[:3], pose[3:]), decode)

    def _decode(self, file: Path) -> np.ndarray:
        return self.lens.bend(np.asarray(cv2.imread(str(file), cv2.IMREAD_COLOR_RGB)))


def rendered(folder: Path, light: str, seed: int | None, lens: Lens, plan: int = 0) -> Rendered:
    """A drive of a seed, or that of the map; rendered once. `plan` is that of another town."""
    from town.drives import FIRST
    from town.motion import Motion
    from town.renderer import Renderer
    from town.town import make_town

    path = folder / f"wide {light} {'map' if seed is None else seed}{f' of {plan}' if plan else ''}"
    if path.is_dir():
        return Rendered(path, lens)
    if seed is None:
        town = make_town(FIRST.seed, FIRST.parking_seed)
        motion = Motion(town.route, FIRST.manner, 0.0, town.route.length, np.random.default_rng(0))
        positions, quaternions = motion.pose(np.arange(0.0, motion.duration, 0.02))
        rows = spaced(positions, _SPACING)
        positions, quaternions = positions[rows], quaternions[rows]
    else:
        town, positions, quaternions = drive_of(light, seed, plan)
    unfinished = path.with_name(f".{path.name}")
    unfinished.mkdir(exist_ok=True)
    renderer = Renderer(town, light, int(_RENDERED[0]), int(_RENDERED[1]), np.degrees(_VIEW))
    for number, pose in enumerate(zip(positions, quaternions)):
        image = cv2.cvtColor(renderer.render(*eye(*pose)), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(unfinished / f"{number}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    renderer.close()
    np.save(unfinished / "poses.npy", np.hstack([positions, quaternions]))
    unfinished.rename(path)
    return Rendered(path, lens)


def place_map(shop: Workshop, lens: Lens) -> PlaceMap:
    """Map of the noon drive through a lens, made once with the network of the town's own map."""
    network = shop.place_map("town", has_gap=True).network_path
    path = shop.folder / f"map {lens.name} {network.parent.name}"
    if path.is_dir():
        return PlaceMap.open(path)
    options = BuildOptions(store_images="none", store_features="xfeat", weights=network)
    return build_map(rendered(shop.folder, "noon", None, lens), path, options, progress=False)


def images(source: Rendered, seed: int, is_mapped: bool = True) -> Images:
    for number, frame in enumerate(source):
        yield weathered(frame.decode(), "", [seed, number]), frame.pose if is_mapped else None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--seeds", type=int, default=8, metavar="N", help="(default: %(default)s)")
    options = parser.parse_args()
    shop = replace(workshop(options), has_town=True)
    chosen = LocalizerOptions(verification=VerificationOptions())
    rows = []
    for of_map in lenses():
        localizer = Localizer.open(place_map(shop, of_map).path, options=chosen)
        for lens in lenses():
            for light in _LIGHTS:
                found = []
                for seed in range(options.seeds):
                    source = rendered(shop.folder, light, seed, lens)
                    found.append(answers(localizer, images(source, seed), lens.camera))
                title = f"{light}, {lens.name} in a map of the {of_map.name}"
                rows.append(row(title, np.vstack(found)))
                print(*rows[-1], sep="  ", file=sys.stderr, flush=True)
        drives = [(plan, rendered(shop.folder, "evening", 0, of_map, plan)) for plan in ELSEWHERE]
        found = [answers(localizer, images(source, plan, is_mapped=False)) for plan, source in drives]
        rows.append(row(f"other towns, evening, {of_map.name}", np.vstack(found)))
    print_table(HEADER, rows)


if __name__ == "__main__":
    main()
