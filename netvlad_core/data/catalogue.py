"""Collections of image files, with positions or without, as sources of frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from netvlad_core.data.frames import Frame, fingerprint_of
from netvlad_core.data.image_lists import ListedImage, read_catalogue, read_folder
from netvlad_core.data.images import read_image
from netvlad_core.errors import SourceError

# Frames of a collection need an order in time; without stamps they are a second apart.
_STEP = 10**9


class CatalogueSource:
    """A collection of image files, a `FrameSource`; see there for the attributes.

    A file that is missing or broken raises ImageError when it is decoded.
    """

    is_stream = False
    camera = None
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
        """Open a catalogue; see `image_lists` for its columns and `read_catalogue` for the errors."""
        path = Path(path).expanduser()
        description = f"catalogue {path.name}"
        return cls(path.parent, read_catalogue(path), description=description, extra_files=[path])

    @classmethod
    def from_folder(cls, path: Path | str) -> CatalogueSource:
        """Open a folder, see `read_folder`; raises SourceError for several UTM zones, too."""
        path = Path(path).expanduser()
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
