"""Collections of image files: the rows of a catalogue, or the names in a folder, as sources of frames.

Columns of a catalogue: `image` (path relative to the CSV), `x` and `y` in metres; optional `z`, `yaw` in
radians or `qx`, `qy`, `qz`, `qw`, `stamp` in seconds and `label` of the place. Others are left alone.

Several collections of street images have positions in their names:
`@easting@northing@zone@letter@lat@lon@pano_id@tile@heading@pitch@roll@height@timestamp@note@.jpg`, in UTM
metres and degrees clockwise from north; all fields but the first two may be empty. Pitch, roll, height and
timestamp mean different things in different collections and are left alone.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from netvlad_core.data.frames import Frame, fingerprint_of
from netvlad_core.data.geometry import Pose
from netvlad_core.data.images import read_image
from netvlad_core.data.tables import Table
from netvlad_core.data.trajectory import stamp_from_seconds
from netvlad_core.errors import PoseError, SourceError
from netvlad_core.files import user_path

_QUATERNION = ("qx", "qy", "qz", "qw")
_COLUMNS = "image, x, y, optionally z, yaw or qx, qy, qz, qw, and stamp"

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
# Pictures that are not read; they are counted, so that nobody misses them in silence.
_UNREAD_SUFFIX = re.compile(
    r"\.(heic|heif|avif|jxl|jp2|j2k|gif|exr|hdr|pfm|pbm|tga|ico|dng|cr2|cr3|nef|arw|orf|rw2|raf|raw|svg|psd)"
)
# Frames of a collection need an order in time; without stamps they are a second apart.
_STEP = 10**9


class ListedImage(NamedTuple):
    """An image file with what is known about it.

    Attributes
    ----------
    name : path relative to the folder of the list.
    stamp : int, nanoseconds, or None.
    pose : map <- base_link, or None; without a heading it looks along x.
    has_heading : whether the heading of the pose is known.
    label : name of the place, or None.
    panorama : id of the picture that the image is cut from, empty if it is not known.
    zone : UTM zone of the position, empty if it is not known.
    """

    name: str
    stamp: int | None = None
    pose: Pose | None = None
    has_heading: bool = False
    label: str | None = None
    panorama: str = ""
    zone: str = ""


class CatalogueSource:
    """A collection of image files, a `FrameSource`; see there for the attributes.

    A file that is missing or broken raises ImageError when it is decoded.
    """

    is_stream = False
    camera = None
    origin: list[float] | None = None
    remark = ""

    def __init__(
        self,
        folder: Path,
        images: Sequence[ListedImage],
        *,
        description: str,
        extra_files: Sequence[Path] = (),
        unread: Counter[str] | None = None,
    ) -> None:
        """Take images below a folder; `unread` are reasons and counts of pictures that are left out."""
        self.description = description
        self.frame_id = "map"
        self.skipped = Counter(unread)
        self._folder = folder
        self._images = images
        files = [*extra_files, *(folder / image.name for image in images)]
        self.fingerprint = fingerprint_of(files, description)

    @classmethod
    def from_csv(cls, path: Path | str) -> CatalogueSource:
        """Open a catalogue; see this module for its columns and `read_catalogue` for the errors."""
        path = user_path(path)
        description = f"catalogue {path.name}"
        return cls(path.parent, read_catalogue(path), description=description, extra_files=[path])

    @classmethod
    def from_folder(cls, path: Path | str) -> CatalogueSource:
        """Open a folder, see `read_folder`; raises SourceError for several UTM zones, too."""
        path = user_path(path)
        images, unread = read_folder(path)
        if len(zones := {image.zone for image in images} - {""}) > 1:
            raise SourceError(
                f"images in {path} lie in the UTM zones {', '.join(sorted(zones))}, whose metres do not "
                "compare; keep them in a folder each"
            )
        kind = "without positions" if images[0].pose is None else "with @ names"
        description = f"folder {path.absolute().name} of images {kind}"
        return cls(path, images, description=description, unread=unread)

    @property
    def usable(self) -> int:
        return len(self._images)

    def __len__(self) -> int:
        return len(self._images) + sum(self.skipped.values())

    def __iter__(self) -> Iterator[Frame]:
        for index, image in enumerate(self._images):
            stamp = index * _STEP if image.stamp is None else image.stamp
            yield Frame(image.name, stamp, image.pose, partial(read_image, self._folder / image.name))


def read_catalogue(path: Path) -> list[ListedImage]:
    """Read a CSV file; raises SourceError that names the line with a wrong value, or if no image exists."""
    table = Table.read(path, ("image", "x", "y"), _COLUMNS)
    rotation = [name for name in _QUATERNION if name in table]
    if rotation and (len(rotation) < len(_QUATERNION) or "yaw" in table):
        found = f"found {', '.join(filter(None, table.columns))}"
        raise SourceError(f"{path}: a rotation is either yaw or all of qx, qy, qz, qw; {found}")
    _check_images(table)
    stamps = table.parsed("stamp", stamp_from_seconds) if "stamp" in table else [None] * len(table)
    positions = [table.numbers(name)[:, 0] if name in table else np.zeros(len(table)) for name in "xyz"]
    yaw = table.numbers("yaw")[:, 0] if "yaw" in table else np.zeros(len(table))
    quaternions = table.numbers(*_QUATERNION) if rotation else None
    images = []
    for row, (name, stamp, x, y, z) in enumerate(zip(table["image"], stamps, *positions)):
        try:
            if quaternions is None:
                pose = Pose.from_xyz_yaw(x, y, z, yaw[row])
            else:
                pose = Pose.from_values([x, y, z], quaternions[row])
        except PoseError as error:
            raise SourceError(f"{path}, line {table.lines[row]}: {error}") from error
        label = table["label"][row] if "label" in table else None
        images.append(ListedImage(name, stamp, pose, bool(rotation) or "yaw" in table, label))
    return images


def _check_images(table: Table) -> None:
    seen: dict[str, int] = {}
    for line, image in zip(table.lines, table["image"]):
        if not image:
            raise SourceError(f"{table.path}, line {line}: the image is empty")
        if (first := seen.setdefault(os.path.normpath(image), line)) != line:
            raise SourceError(
                f"{table.path}, line {line}: the image {image} was there already, in line {first}"
            )
    table.require_files(table.path.parent, table["image"])


def read_folder(path: Path) -> tuple[list[ListedImage], Counter[str]]:
    """List the images of a folder, with poses if their names have positions, and what else there is.

    Raises
    ------
    SourceError
        If there is no such folder or no image in it, or only some names have positions, or wrong ones.
    """
    if not path.is_dir():
        raise SourceError(f"{path} is no folder of images")
    names, unread = image_names(path)
    if not names:
        found = ", ".join(f"{count} {reason}" for reason, count in unread.most_common())
        expected = f"expected files ending in {', '.join(IMAGE_SUFFIXES)}"
        raise SourceError(f"no images in {path}; {expected}" + (f"; found {found}" if found else ""))
    # Folders may have an @ too.
    has_position = [Path(name).name.startswith("@") for name in names]
    if len(set(has_position)) > 1:
        named = (Path(names[has_position.index(kind)]).name for kind in (True, False))
        raise SourceError(
            f"in {path} some images have a position in their name and others have none, e.g. "
            f"{' and '.join(named)}; keep them in two folders"
        )
    return [_with_position(name) if has_position[0] else ListedImage(name) for name in names], unread


def image_names(folder: Path) -> tuple[list[str], Counter[str]]:
    """Relative paths of the images in a folder and below; reasons and counts of pictures that are not read.

    image_2 comes before image_10, hidden files are left out, links are followed to each real folder once.
    """
    names: list[str] = []
    unread: Counter[str] = Counter()
    seen = {folder.resolve()}
    for root, folders, files in os.walk(folder, followlinks=True):
        reached = [name for name in sorted(folders) if not name.startswith(".")]
        folders.clear()
        for name in reached:
            if (real := Path(root, name).resolve()) not in seen:
                seen.add(real)
                folders.append(name)
        for name in files:
            suffix = Path(name).suffix.lower()
            if name.startswith("."):
                continue
            if suffix in IMAGE_SUFFIXES:
                names.append(Path(root, name).relative_to(folder).as_posix())
            elif _UNREAD_SUFFIX.fullmatch(suffix):
                unread[f"{suffix} file, a format that is not read (convert it to JPEG or PNG)"] += 1
    return sorted(names, key=_natural_key), unread


def _natural_key(name: str) -> list[tuple[int, int, str]]:
    """Compare runs of digits as numbers; the text itself decides between 1 and 01."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part]


def _with_position(name: str) -> ListedImage:
    file = Path(name).name
    # The last part is the suffix of the file.
    fields = [field.strip() for field in file.split("@")[1:-1]] + [""] * 9
    try:
        yaw = math.radians(90.0 - float(fields[8] or 90.0))
        pose = Pose.from_xyz_yaw(float(fields[0]), float(fields[1]), yaw=yaw)
    except (ValueError, PoseError) as error:
        expected = "@easting@northing@zone@letter@lat@lon@pano_id@tile@heading@..."
        raise SourceError(
            f"the file name {file} carries no position: {error}; expected {expected}, metres and degrees"
        ) from error
    return ListedImage(name, None, pose, bool(fields[8]), panorama=fields[6], zone=fields[2])
