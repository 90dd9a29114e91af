"""Recognises the format of a collection of places and opens it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from netvlad_core.data.place_sets import folder_pairs, gsv_cities, msls, pitts, retrieval
from netvlad_core.data.place_sets.place_set import PlaceSet
from netvlad_core.errors import SourceError
from netvlad_core.files import user_path


class Format(Protocol):
    """A module of this package."""

    def splits(self, path: Path) -> list[str] | None:
        """Splits by the content of a path: none if it is not divided; None if it is of another format."""
        ...

    def read(self, path: Path, split: str | None) -> PlaceSet:
        """Read one of the splits, or the only one there is; raises SourceError if it is wrong somewhere."""
        ...


# A city of MSLS has folders like those of a pair, so that the order matters.
_FORMATS: tuple[Format, ...] = (msls, gsv_cities, retrieval, pitts, folder_pairs)
_EXPECTED = (
    "expected a dbStruct .mat file (Pittsburgh, Tokyo), train_val/<city>/{query,database} (MSLS), Dataframes "
    "and Images (GSV-Cities), *_query.txt lists (Oxford, Paris), jpg/100000.jpg (Holidays), "
    "images/{train,val,test}/{database,queries}, database and queries as folders or .csv catalogues, "
    "or dataset.csv with image, label and split"
)


def open_place_set(
    path: Path | str,
    split: str | None = None,
    queries: Path | str | None = None,
    ground_truth: Path | str | None = None,
) -> PlaceSet:
    """Open a collection of places, whichever its format; `description` names the format.

    Parameters
    ----------
    path : file or folder, see the modules of this package.
    split : train, val or test; None if there is only one, or (MSLS) for all of it.
    queries : folder or catalogue of queries; the path is then the folder or catalogue of the database.
    ground_truth : CSV or JSON with what is correct for these queries, see `folder_pairs`.

    Raises
    ------
    SourceError
        If the path is none of the formats, has no such split, or is wrong somewhere.
    """
    path = user_path(path)
    if queries is not None:
        if split is not None:
            raise SourceError(f"queries are named beside {path}, so there is no split {split!r} to choose")
        return folder_pairs.read_pair(path, Path(queries), Path(ground_truth) if ground_truth else None)
    if ground_truth is not None:
        raise SourceError(f"a ground truth goes with queries; none are named beside {path}")
    found, splits = _recognised(path)
    if split is None and len(splits) > 1 and found is not msls:
        raise SourceError(f"{path} has the splits {', '.join(splits)}: name one")
    if split is not None and split not in splits and found is not msls:
        raise SourceError(f"{path} has no split {split!r}; it has {', '.join(splits) or 'none'}")
    return found.read(path, split)


def splits_of(path: Path | str) -> list[str]:
    """The splits that a collection has; none if it is not divided."""
    return _recognised(user_path(path))[1]


def _recognised(path: Path) -> tuple[Format, list[str]]:
    if not path.exists():
        raise SourceError(f"{path} does not exist; {_EXPECTED}")
    for found in _FORMATS:
        if (splits := found.splits(path)) is not None:
            return found, splits
    raise SourceError(f"{path} is no collection of places that is known here; {_EXPECTED}")
