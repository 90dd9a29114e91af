"""A map as a text model of COLMAP, which many programs of reconstruction read: images, cameras, poses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from netvlad_core.data.camera import Camera
from netvlad_core.data.images import picture_size
from netvlad_core.errors import CameraError, ImageError, MapError
from netvlad_core.files import hidden_beside, replace_directory, sole_writer
from netvlad_core.mapping.care.exports import MARK, Exported, check_beside, posed
from netvlad_core.mapping.place_map import PlaceMap

_CAMERAS = Path("sparse/0/cameras.txt")


def export_colmap(place_map: PlaceMap, output: Path) -> Exported:
    """Write a folder with `images` and `sparse/0` (cameras.txt, images.txt, no points), in one step.

    Places without a pose, a calibration or a readable image are left out. `images/000012.jpg` is the image of
    place 12, and its IMAGE_ID is 13, since those of COLMAP begin with 1.

    Raises
    ------
    MapError
        If the map keeps no images, no camera is known, no place can be exported, or the output lies in the
        map or holds something else than an earlier export.
    CameraError
        If COLMAP has no such camera.
    """
    check_beside(place_map, output)
    _check_folder(output)
    if place_map.images is None or not place_map.has_camera:
        what = "images" if place_map.images is None else "calibration of a camera"
        raise MapError(f"{place_map.path} keeps no {what}, which a model of COLMAP needs")
    left_out = Counter[str]()
    output = output.resolve()
    with sole_writer(output), hidden_beside(output) as hidden:
        new = hidden / "partial"
        (new / _CAMERAS.parent).mkdir(parents=True)
        (new / "images").mkdir()
        cameras: dict[str, int] = {}
        lines = list(_images(place_map, new / "images", cameras, left_out))
        if not lines:
            raise MapError(f"no image of {place_map.path} could be exported: {dict(+left_out)}")
        _write_model(new / _CAMERAS.parent, place_map.header.map_id, cameras, lines)
        _check_folder(output)
        replace_directory(new, output)
    return Exported(len(lines), dict(+left_out))


def _images(
    place_map: PlaceMap, folder: Path, cameras: dict[str, int], left_out: Counter[str]
) -> Iterator[str]:
    """Copy the images; yields the line of each, and numbers the cameras that took them."""
    assert place_map.images is not None  # checked before
    rows = posed(place_map)
    left_out.update({"places without a pose": len(place_map) - len(rows)})
    for place in rows.tolist():
        camera, image, name = place_map.camera_of(place), place_map.images[place], f"{place:06}.jpg"
        if camera is None:
            left_out["places without a calibration"] += 1
            continue
        try:
            text = camera_line(camera.scaled_to(*picture_size(image)))
        except ImageError as error:
            left_out[f"images: {error.kind}"] += 1
            continue
        (folder / name).write_bytes(image)
        number = cameras.setdefault(text, len(cameras) + 1)
        yield f"{place + 1} {_pose_text(place_map, place, camera)} {number} {name}\n"


def _write_model(folder: Path, map_id: str, cameras: Mapping[str, int], images: Sequence[str]) -> None:
    contents = {
        "cameras.txt": (
            "CAMERA_ID MODEL WIDTH HEIGHT PARAMS",
            [f"{n} {text}\n" for text, n in cameras.items()],
        ),
        # Below each image COLMAP expects a line with the points in it, which are none.
        "images.txt": ("IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME", [f"{line}\n" for line in images]),
        "points3D.txt": ("no points", []),
    }
    for name, (columns, lines) in contents.items():
        (folder / name).write_text(f"# {MARK} {map_id}\n# {columns}\n{''.join(lines)}")


def _check_folder(output: Path) -> None:
    """Raise MapError if something else than an earlier export, or an empty folder, is in the way."""
    if not output.exists():
        return
    held = {path.name for path in output.iterdir()} if output.is_dir() else {""}
    file = output / _CAMERAS
    is_ours = held == {"images", "sparse"} and file.is_file() and file.read_text().startswith(f"# {MARK}")
    if held and not is_ours:
        raise MapError(f"{output} exists, and is no earlier export; choose another output, or remove it")


def camera_line(camera: Camera) -> str:
    """Model, size and parameters of a camera as COLMAP writes them; CameraError if it has no such model.

    COLMAP has the middle of the first pixel at 0.5, 0.5.
    """
    (fx, skew, cx), (_, fy, cy), _ = camera.matrix.tolist()
    values, lens = [fx, fy, cx + 0.5, cy + 0.5], camera.distortion.tolist()
    if skew or any(lens[8:]):
        raise CameraError(
            "COLMAP has no camera with skew, a thin prism or a tilted sensor; rectify the images"
        )
    if camera.model == "equidistant":
        model, values = "OPENCV_FISHEYE", [*values, *(lens or [0.0] * 4)]
    elif not any(lens):
        model = "PINHOLE"
    elif any(lens[4:]):
        model, values = "FULL_OPENCV", [*values, *lens[:8], *[0.0] * (8 - len(lens[:8]))]
    else:
        model, values = "OPENCV", [*values, *lens[:4]]
    return f"{model} {camera.width} {camera.height} {' '.join(f'{value:.17g}' for value in values)}"


def _pose_text(place_map: PlaceMap, place: int, camera: Camera) -> str:
    """Quaternion w x y z and position of the map in the optical frame."""
    pose = place_map.pose(place)
    assert pose is not None  # only places with a pose are exported
    seen = (pose @ camera.mounting).inverse()
    values = np.concatenate([np.roll(seen.quaternion, 1), seen.position])
    return " ".join(f"{value:.12f}" for value in values)
