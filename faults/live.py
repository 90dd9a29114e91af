"""A map that is changed while it is open."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from faults.maps import small_map
from faults.runs import catalogue
from faults.trial import Bad, Fault
from netvlad_core.data.images import read_image
from netvlad_core.data.sources import open_source
from netvlad_core.localization.geometry.verification_options import VerificationOptions
from netvlad_core.localization.localizer import Localizer
from netvlad_core.localization.localizer_options import LocalizerOptions
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.model.backbones import PACKAGED_NETWORK
from netvlad_core.model.extractor import Extractor


def picture_map(folder: Path, first: int = 0) -> tuple[Path, list[np.ndarray]]:
    """A map with whole images, of all or from one on, and all images."""
    drive = catalogue(folder / "drive", first)
    options = BuildOptions(weights=PACKAGED_NETWORK, device="cpu", store_images="full")
    place_map = build_map(open_source(drive), folder / "map", options, progress=False)
    return place_map.path, [read_image(path) for path in sorted(drive.parent.glob("*.png"))]


def open_maps(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """Each file of an open map cut, emptied, overwritten, removed, or swapped for a stranger's."""
    good, pictures = picture_map(folder)
    other = small_map(folder / "other")
    extractor = Extractor.load(PACKAGED_NETWORK, "cpu")

    def opened(place_map: Path, verifies: bool) -> Localizer:
        options = LocalizerOptions(verification=VerificationOptions() if verifies else None)
        return Localizer(PlaceMap.open(place_map), extractor, options)

    for verifies in (False, True):
        expected = _said(opened(good, verifies), pictures)
        for file in sorted(good.iterdir()):
            for kind in ("cut", "emptied", "zeros", "longer", "removed", "another map's"):
                if rng.random() > share:
                    continue
                work = folder / f"{file.name} {kind} {verifies}"
                shutil.copytree(good, work)
                localizer = opened(work, verifies)
                change = partial(_change, work / file.name, kind, other / file.name)
                trial = partial(_changed, localizer, change, pictures, expected)
                yield Fault(f"{file.name} {kind}{', with verification' * verifies}", trial)


def _changed(
    localizer: Localizer, change: Callable[[], None], pictures: list[np.ndarray], expected: Any
) -> None:
    change()
    found = _said(localizer, pictures)
    if found != expected:
        raise Bad(f"silent: {found} instead of {expected}")


def _change(path: Path, kind: str, stranger: Path) -> None:
    size = path.stat().st_size
    if kind == "removed":
        path.unlink()
    elif kind in ("cut", "emptied", "longer"):
        os.truncate(path, {"cut": size // 2, "emptied": 0, "longer": 2 * size}[kind])
    else:  # in place: the file stays the same one
        data = stranger.read_bytes() if kind == "another map's" and stranger.is_file() else bytes(size)
        with path.open("r+b") as file:
            file.write(data)


def _said(localizer: Localizer, pictures: list[np.ndarray]) -> list[tuple[Any, ...]]:
    answers = [localizer(picture) for picture in pictures[3:6]]
    return [
        (answer.state.name, answer.place, answer.prior and answer.prior.pose.position.round(3).tolist())
        for answer in answers
    ]
