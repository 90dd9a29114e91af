"""Opens a bag, a catalogue or a folder of images."""

from __future__ import annotations

from pathlib import Path

from netvlad_core.data.bags.bag_file import is_bag
from netvlad_core.data.bags.source import BagSource, SourceOptions
from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.data.frames import FrameSource
from netvlad_core.errors import SourceError
from netvlad_core.files import user_path


def open_source(path: Path | str, options: SourceOptions | None = None) -> FrameSource:
    """Open a bag, a catalogue CSV or a folder of images, whichever the path is.

    Raises
    ------
    SourceError
        If the path is none of these or cannot be used as what it is.

    Examples
    --------
    >>> from netvlad_core import open_source
    >>> drive = open_source("drive/catalogue.csv")
    >>> frame = next(iter(drive))
    >>> len(drive), frame.name, frame.pose.position.tolist(), frame.decode().shape
    (40, '000.png', [0.0, 0.0, 0.0], (120, 160, 3))
    """
    path = user_path(path)
    options = options or SourceOptions()
    if path.name == "metadata.yaml":
        path = path.parent
    if not path.exists():
        raise SourceError(f"{path} does not exist; {_EXPECTED}")
    if is_bag(path):
        return BagSource.open(path, options)
    _refuse_bag_options(path, options)
    if path.is_dir():
        return CatalogueSource.from_folder(path)
    if path.suffix.lower() == ".csv":
        return CatalogueSource.from_csv(path)
    raise SourceError(f"{path} is no source of images; {_EXPECTED}")


_EXPECTED = (
    "expected a bag (rosbag2 directory, .mcap, .db3 or .bag), a catalogue .csv with the columns image, x, y, "
    "or a folder of images"
)
_FOR_BAGS_ONLY = ("image_topic", "pose_topic", "trajectory", "extrinsics", "map_frame")


def _refuse_bag_options(path: Path, options: SourceOptions) -> None:
    """Raise SourceError for an option that would be ignored silently."""
    if given := [name for name in _FOR_BAGS_ONLY if getattr(options, name) is not None]:
        raise SourceError(f"{path} is no bag: {' and '.join(given)} would have no effect; leave it out")
