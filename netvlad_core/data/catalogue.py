"""Collections of image files, with positions or without, as sources of frames."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from netvlad_core.data.at_names import have_positions, pose_of_name, zone_of_name
from netvlad_core.data.catalogue_csv import read_catalogue
from netvlad_core.data.frames import Frame, fingerprint_of
from netvlad_core.data.geometry import Pose
from netvlad_core.data.images import read_image
from netvlad_core.errors import SourceError

_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
IMAGE_SUFFIXES = (*_JPEG, ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
# Pictures that are not read; they are counted, so that nobody misses them in silence.
_UNREAD_SUFFIXES = {
    *(
        ".heic",
        ".heif",
        ".avif",
        ".jxl",
        ".jp2",
        ".j2k",
        ".gif",
        ".exr",
        ".hdr",
        ".pfm",
        ".pbm",
        ".tga",
        ".ico",
    ),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".raw", ".svg", ".psd"),
}

# Frames of a collection need an order in time; without stamps they are a second apart.
_STEP = 10**9


class CatalogueSource:
    """Image files that somebody has chosen already, a `FrameSource`; see there for the attributes.

    A file that is missing or broken raises ImageError when it is decoded.
    """

    is_stream = False
    camera = None
    remark = ""

    def __init__(
        self,
        folder: Path,
        images: Sequence[tuple[str, int | None, Pose | None]],
        *,
        description: str,
        extra_files: Sequence[Path] = (),
        unread: Counter[str] | None = None,
    ) -> None:
        """Take paths relative to the folder, stamps in nanoseconds (None: a second apart) and poses.

        `unread` are reasons and counts of pictures beside them that are left out.
        """
        self.description = description
        self.frame_id = "map"
        self.skipped = Counter(unread)
        self._folder = folder
        self._images = images
        files = [*extra_files, *(folder / name for name, _, _ in images)]
        self.fingerprint = fingerprint_of(files, description)

    @classmethod
    def from_csv(cls, path: Path | str) -> CatalogueSource:
        """Open a catalogue; see `catalogue_csv` for its columns.

        Raises
        ------
        SourceError
            If the catalogue is wrong somewhere, or none of its images exists.
        """
        path = Path(path).expanduser()
        rows = read_catalogue(path)
        if not any((path.parent / image).is_file() for image, _, _ in rows):
            raise SourceError(
                f"none of the {len(rows)} images of {path} exists, e.g. {path.parent / rows[0][0]}; "
                "paths are relative to the catalogue"
            )
        return cls(path.parent, rows, description=f"catalogue {path.name}", extra_files=[path])

    @classmethod
    def from_folder(cls, path: Path | str) -> CatalogueSource:
        """Open a folder of images in natural order, those of its subfolders included.

        Poses come from "@" names; if no file has one there are no poses.

        Raises
        ------
        SourceError
            If there are no images, or only some have "@" names, or these are wrong or of several UTM zones.
        """
        path = Path(path).expanduser()
        if not path.is_dir():
            raise SourceError(f"{path} is no folder of images")
        names, unread = _pictures(path)
        if not names:
            found = f"; found {_listed(unread)}" if unread else ""
            expected = f"expected files ending in {', '.join(IMAGE_SUFFIXES)}"
            raise SourceError(f"no images in {path}; {expected}{found}")
        poses = _poses_of_names(path, names)
        kind = "with @ names" if poses[0] is not None else "without positions"
        rows = [(name, None, pose) for name, pose in zip(names, poses, strict=True)]
        description = f"folder {path.absolute().name} of images {kind}"
        return cls(path, rows, description=description, unread=unread)

    @property
    def usable(self) -> int:
        return len(self._images)

    def __len__(self) -> int:
        return len(self._images) + sum(self.skipped.values())

    def __iter__(self) -> Iterator[Frame]:
        for index, (name, stamp, pose) in enumerate(self._images):
            stamp = index * _STEP if stamp is None else stamp
            yield Frame(name, stamp, pose, partial(read_image, self._folder / name))


def image_names(folder: Path) -> list[str]:
    """List images as paths relative to the folder: image_2 before image_10, hidden ones left out.

    Links are followed, each real folder once.
    """
    return _pictures(folder)[0]


def _pictures(folder: Path) -> tuple[list[str], Counter[str]]:
    """Names of the images, and reasons and counts of the pictures that are not read."""
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
            elif suffix in _UNREAD_SUFFIXES:
                unread[f"{suffix} file, a format that is not read (convert it to JPEG or PNG)"] += 1
    return sorted(names, key=_natural_key), unread


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in counts.most_common())


def _natural_key(name: str) -> list[tuple[int, int, str]]:
    """Compare runs of digits as numbers; the text itself decides between 1 and 01."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part]


def _poses_of_names(folder: Path, names: Sequence[str]) -> list[Pose | None]:
    if not have_positions(folder, names):
        return [None] * len(names)
    files = [Path(name).name for name in names]
    if len(zones := {zone_of_name(name) for name in files} - {""}) > 1:
        raise SourceError(
            f"images in {folder} lie in the UTM zones {', '.join(sorted(zones))}, whose metres do not "
            "compare; keep them in a folder each"
        )
    return [pose_of_name(name) for name in files]
