"""Which queries and places of a benchmark published figures count, and what is correct for them.

Every protocol counts places within 25 m. They differ in the images that take part: the validation queries of
MSLS are 740 by its own tools and some 11 000 elsewhere, and the cut-outs of a panorama of Tokyo 24/7 count
once in the NetVLAD paper and each by itself in later evaluations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from netvlad_core.data.place_sets import folder_pairs, msls, pitts
from netvlad_core.data.place_sets.place_set import PlaceSet
from netvlad_core.data.place_sets.recognise import Format
from netvlad_core.data.radii import CORRECT_WITHIN
from netvlad_core.errors import SourceError
from netvlad_core.files import user_path


@dataclass(frozen=True)
class Protocol:
    """How one benchmark is counted.

    Attributes
    ----------
    description : the rule in words.
    split : the part that counts.
    formats : the layouts in which it is distributed, by names for messages.
    queries : how many of them count in the published set; None if no number is known.
    choose : takes the images that count.
    """

    description: str
    split: str
    formats: Mapping[str, Format]
    queries: int | None = None
    choose: Callable[[PlaceSet], PlaceSet] = lambda places: places

    def open(self, path: Path) -> PlaceSet:
        """Read the part that counts; raises SourceError as `open_protocol` does."""
        found = next((each for each in self.formats.values() if each.splits(path) is not None), None)
        if found is None:
            raise SourceError(f"{path} is no set for this protocol; expected {' or '.join(self.formats)}")
        splits = found.splits(path) or [self.split]
        if self.split not in splits:
            raise SourceError(f"this protocol counts the split {self.split}; {path} has {', '.join(splits)}")
        places = self.choose(found.read(path, self.split))
        if places.database.positions is None or places.queries.positions is None:
            raise SourceError(f"{path} has no positions, and this protocol counts places within 25 m")
        if not len(places.queries):
            raise SourceError(f"{path} has no query that counts: {self.description}")
        return replace(places, threshold=CORRECT_WITHIN, correct=None, subsets={})


def open_protocol(path: Path | str, name: str) -> PlaceSet:
    """Open the part of a benchmark that a protocol counts.

    Raises
    ------
    SourceError
        If there is no such protocol, the path holds another benchmark or lacks the split or positions, or no
        query counts.
    """
    if name not in PROTOCOLS:
        raise SourceError(f"there is no protocol {name!r}; there are: {', '.join(PROTOCOLS)}")
    path = user_path(path)
    if not path.exists():
        raise SourceError(f"{path} does not exist")
    try:
        return PROTOCOLS[name].open(path)
    except SourceError as error:
        raise SourceError(f"{name}: {error}") from error


def _reachable(places: PlaceSet) -> PlaceSet:
    """The queries with a place within 25 m."""
    positives = places.positives(CORRECT_WITHIN)
    return places.with_images(
        np.arange(len(places.database)), np.array([len(rows) > 0 for rows in positives])
    )


def _subtask(places: PlaceSet) -> PlaceSet:
    """What MSLS's own tools count: images of the subtask "all", then queries that can be found."""
    sides = (places.database, places.queries)
    return _reachable(places.with_images(*(msls.is_of_subtask(images) for images in sides)))


def _each_image(places: PlaceSet) -> PlaceSet:
    return replace(places, group_counts_once=False)


_MSLS = {"the folder of MSLS with train_val/": msls}
_MAT = {"a dbStruct .mat file": pitts}
_FOLDERS = {"images/<split>/{database,queries} with @ names": folder_pairs}

PROTOCOLS: dict[str, Protocol] = {
    "msls-740": Protocol(
        "Copenhagen and San Francisco as MSLS's own tools count them: images of the subtask all, no "
        "panoramas, queries with a place within 25 m",
        "val",
        _MSLS,
        740,
        _subtask,
    ),
    "msls-all": Protocol(
        "Copenhagen and San Francisco, every image but panoramas, every query within 25 m of a place or not",
        "val",
        {**_MSLS, **_FOLDERS},
    ),
    "tokyo247": Protocol(
        "Tokyo 24/7 as the NetVLAD paper counts it: within 25 m, a panorama has the rank of its best cut-out",
        "test",
        _MAT,
        315,
    ),
    "tokyo247-images": Protocol(
        "Tokyo 24/7 as later evaluations count it: within 25 m, each cut-out has a rank of its own",
        "test",
        {**_MAT, **_FOLDERS},
        315,
        _each_image,
    ),
    "pitts30k": Protocol(
        "Pittsburgh 30k, test: within 25 m, each cut-out and every query counts",
        "test",
        {**_MAT, **_FOLDERS},
        6816,
    ),
}
