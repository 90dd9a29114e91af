"""Maps on disk: every file damaged, replaced by something else, or right in form and wrong in content."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from faults.damage import damaged, flipped
from faults.trial import Bad, Fault
from netvlad_core.data.images import encode_jpeg
from netvlad_core.errors import NetvladError
from netvlad_core.files import sha256_of
from netvlad_core.mapping.map_header import HEADER_FILE, MapHeader
from netvlad_core.mapping.map_writer import write_descriptors, write_places, writing_map
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.places import Places
from netvlad_core.search import open_index

_PLACES, _DIMENSION = 6, 16
_ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**31, 2**63, 2**70, 0.5, -1e308, 1e308, float("nan"), float("inf"), "", "x",
    "\ud800", "\0", "../../etc/passwd", "/dev/zero", "a" * 20_000, [], [None], {}, {"x": "y"}, [[[]]],
)  # fmt: skip


def small_map(folder: Path) -> Path:
    """A map with images and a network somewhere else."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((_PLACES, _DIMENSION)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    poses = np.zeros((_PLACES, 7))
    poses[:, 0], poses[:, 6] = 3.0 * np.arange(_PLACES), 1.0
    images = [encode_jpeg(rng.integers(0, 256, (24, 32, 3), np.uint8)) for _ in range(_PLACES)]
    header = MapHeader(
        model_id="none@0",
        frame_id="map",
        source="faults",
        weights="/nowhere.safetensors",
        store_images="full",
    )
    with writing_map(folder, header) as new:
        write_descriptors(rows, new, 0)
        write_places(new, Places(rows[:0], np.arange(_PLACES), poses, None, images), list("abcdef"))
    return folder


def content(path: Path) -> tuple[Any, ...]:
    """All that a user of the map sees."""
    opened = PlaceMap.open(path, verify=True)
    descriptors = np.asarray(opened.descriptors, np.float32)
    index = open_index(descriptors, device="cpu")
    similarities, found = index.search(descriptors, 3)
    images = [image.tobytes() for place in range(len(opened)) if (image := opened.image(place)) is not None]
    poses = [(*pose.position, *pose.quaternion) for pose in map(opened.pose, range(len(opened))) if pose]
    return (
        opened.header, opened.names, descriptors.tobytes(), opened.stamps.tobytes(), poses, images,
        similarities.tobytes(), found.tobytes(),
    )  # fmt: skip


def _is_as_before(path: Path, expected: tuple[Any, ...]) -> None:
    if content(path) != expected:
        raise Bad("silent: the map opens and is another one")


def _with_file(good: Path, work: Path, name: str, data: bytes, expected: tuple[Any, ...]) -> None:
    path = work / name
    earlier = (good / name).read_bytes()
    path.write_bytes(data)
    try:
        _is_as_before(work, expected)
    finally:
        path.write_bytes(earlier)


def map_json(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """Each single bit of map.json."""
    good, work = _two_maps(folder)
    expected, data = content(good), (good / HEADER_FILE).read_bytes()
    step = max(1, round(1 / share))
    for bit in range(int(rng.integers(step)), 8 * len(data), step):
        trial = partial(_with_file, good, work, HEADER_FILE, flipped(data, bit), expected)
        yield Fault(f"map.json, bit {bit}", trial)


def map_files(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """Damage to each file of a map."""
    good, work = _two_maps(folder)
    expected = content(good)
    for file in sorted(good.iterdir()):
        for what, data in damaged(file.read_bytes(), rng, round(300 * share)):
            yield Fault(f"{file.name}, {what}", partial(_with_file, good, work, file.name, data, expected))


def map_fields(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """Each field of map.json with values that it cannot have, under a right checksum."""
    good, work = _two_maps(folder)
    header = MapHeader.read(good / HEADER_FILE)
    for member in fields(header):
        for value in _ODD:
            yield Fault(
                f"map.json, {member.name} = {value!r:.40}",
                partial(_with_field, work, header, member.name, value),
            )


def _with_field(work: Path, header: MapHeader, name: str, value: Any) -> None:
    try:
        replace(header, **{name: value}).write(work / HEADER_FILE)
    except (ValueError, TypeError):  # the writer itself cannot say this
        return
    try:
        content(work)  # refused, or as good as any
    finally:
        header.write(work / HEADER_FILE)


def map_contents(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """Arrays that no network and no robot gives, under right checksums."""
    good, work = _two_maps(folder)
    for name in ("descriptors.npy", "poses.npy", "stamps.npy", "image_ends.npy"):
        array = np.load(good / name)
        for value in (np.nan, np.inf, -np.inf, 0, -1, 7, 1e9, 1e300):
            for where in (slice(None), slice(0, 1), slice(-1, None)):
                yield Fault(
                    f"{name}, {value} at {where.start}",
                    partial(_with_array, good, work, name, array, value, where),
                )
    for name, array in (("transposed", None), ("more rows", 2), ("other type", 3)):
        yield Fault(f"descriptors.npy, {name}", partial(_with_shape, good, work, array))


def _with_array(good: Path, work: Path, name: str, array: np.ndarray, value: float, where: slice) -> None:
    changed = array.copy()
    with np.errstate(all="ignore"):
        changed[where] = np.asarray(value).astype(array.dtype)
    _with_saved(good, work, name, changed, is_wrong=not np.isfinite(changed.astype(float)).all())


def _with_shape(good: Path, work: Path, kind: int | None) -> None:
    array = np.load(good / "descriptors.npy")
    changed = (
        array.T if kind is None else np.concatenate([array, array]) if kind == 2 else array.astype(np.float64)
    )
    _with_saved(good, work, "descriptors.npy", np.ascontiguousarray(changed), is_wrong=True)


def _with_saved(good: Path, work: Path, name: str, array: np.ndarray, is_wrong: bool) -> None:
    header = MapHeader.read(good / HEADER_FILE)
    np.save(work / name, array)
    try:
        stated = {"bytes": (work / name).stat().st_size, "sha256": sha256_of(work / name)}
        replace(header, files={**header.files, name: stated}).write(work / HEADER_FILE)
        content(work)
        if is_wrong and name != "poses.npy":  # a map without poses has NaN there
            raise Bad(f"silent: a map with such a {name} opens")
    finally:
        shutil.copy(good / name, work / name)
        header.write(work / HEADER_FILE)


def map_specials(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """Something that is no regular file in the place of each file of a map."""
    good, work = _two_maps(folder)
    secret = folder / "secret"
    secret.write_text("not for others")
    for file in sorted(good.iterdir()):
        for kind in ("pipe", "/dev/zero", "/dev/full", "folder", "dangling link", "link to a secret", "gone"):
            yield Fault(f"{file.name} is {kind}", partial(_with_special, good, work, file.name, kind, secret))


def _with_special(good: Path, work: Path, name: str, kind: str, secret: Path) -> None:
    path = work / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind != "gone":
        path.symlink_to({"dangling link": work / "nowhere", "link to a secret": secret}.get(kind, Path(kind)))
    try:
        content(work)
        raise Bad(f"silent: a map opens whose {name} is {kind}")
    except NetvladError as error:
        if "not for others" in str(error):
            raise Bad("disclosure: the error quotes the file that a link names") from error
        raise
    finally:
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        shutil.copy(good / name, path)


def _two_maps(folder: Path) -> tuple[Path, Path]:
    good, work = small_map(folder / "good"), folder / "work"
    shutil.copytree(good, work)
    return good, work
