"""A drive becomes a map: keyframes, descriptors, poses and images, in one pass whose memory does not grow."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from netvlad_core.data.frames import Frame, FrameSource
from netvlad_core.data.images import encode_jpeg, resize_to_fit
from netvlad_core.errors import ImageError, MapError, SourceError
from netvlad_core.files import replace_directory
from netvlad_core.mapping import place_map as layout
from netvlad_core.mapping.journal import Entry, Journal
from netvlad_core.mapping.keyframes import KEEP_ALL, KeyframeRule, select_keyframes
from netvlad_core.mapping.place_map import MapHeader, PlaceMap, describe_files
from netvlad_core.mapping.statistics import median_spacing, similarity_elsewhere
from netvlad_core.model.backbones import DEFAULT_BACKBONE
from netvlad_core.model.checkpoints import load_checkpoint, save_checkpoint
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.fitting import SAMPLE_IMAGES, SampleImages, fit_network
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.streaming import DescribedFrame, describe_frames

IMAGE_STORAGE = ("none", "thumbnail", "full")
_THUMBNAIL_PIXELS = 160
_JPEG_QUALITY = {"thumbnail": 85, "full": 95}


@dataclass(frozen=True)
class BuildOptions:
    """How a map is built.

    Attributes
    ----------
    keyframes : rule for places; None takes the default rule for recordings and every image of collections.
    store_images : "none" (privacy), "thumbnail" (160 pixels) or "full".
    weights : checkpoint; None fits a head on the drive and keeps the network in the map.
    backbone, backbone_weights, clusters, whitened_dimension, seed : of the fitted network, without weights.
    require_poses : False accepts a source without poses; its map gives place ids but no pose.
    device, batch_size : of the extractor.
    """

    keyframes: KeyframeRule | None = None
    store_images: str = "thumbnail"
    weights: Path | None = None
    backbone: str = DEFAULT_BACKBONE
    backbone_weights: Path | None = None
    clusters: int = 64
    whitened_dimension: int | None = None
    seed: int = 0
    require_poses: bool = True
    device: str = "auto"
    batch_size: int = 8


def build_map(source: FrameSource, output: Path, options: BuildOptions, progress: bool = True) -> PlaceMap:
    """Build a map and put it at `output` in one step.

    A run that was stopped leaves an older map at `output` untouched, and its own work in `.<name>.partial`
    beside it; the same call continues there.

    Raises
    ------
    SourceError
        If the source has no usable frame, or no poses although they are required.
    MapError
        If something that is no map stands at `output`.
    CheckpointError
        If the weights cannot be read.
    """
    check_output(output)
    rule = options.keyframes or (KeyframeRule() if source.is_stream else KEEP_ALL)
    journal = Journal(output.with_name(f".{output.name}.partial"), _work_key(source, rule, options))
    network = _find_network(source, rule, options, journal, progress)
    extractor = Extractor(network, options.device, options.batch_size)
    journal.resume(extractor.dimension)
    try:
        _describe_drive(source, rule, options, extractor, journal, progress)
    finally:
        journal.close()
    if not journal.places:
        reasons = _broken(journal) + source.skipped
        raise SourceError(f"no image of {source.description} could be used: {_as_text(reasons)}")
    return _finish(source, output, options, extractor, journal)


def sample_frames(source: FrameSource, rule: KeyframeRule, progress: bool) -> SampleImages:
    """Images of keyframes evenly spread over a drive, as many as the paper takes for its clusters."""
    count = sum(1 for _ in select_keyframes(source, rule))
    step = max(1, -(-count // SAMPLE_IMAGES))

    def images() -> Iterator[np.ndarray]:
        chosen = islice(select_keyframes(source, rule), 0, None, step)
        for frame in tqdm(
            chosen,
            "fitting",
            total=-(-count // step),
            unit="image",
            disable=None if progress else True,
            dynamic_ncols=True,
        ):
            try:
                yield frame.decode()
            except ImageError:
                continue  # counted when the drive is described

    return images


def check_output(output: Path) -> None:
    if output.exists() and not (output / layout.HEADER_FILE).is_file():
        is_empty = output.is_dir() and not any(output.iterdir())
        if not is_empty:
            raise MapError(f"{output} exists and is no map; it is left alone: choose another name")
    output.parent.mkdir(parents=True, exist_ok=True)


def _work_key(source: FrameSource, rule: KeyframeRule, options: BuildOptions) -> str:
    values = [source.fingerprint, asdict(rule), asdict(options)]
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


def _find_network(
    source: FrameSource, rule: KeyframeRule, options: BuildOptions, journal: Journal, progress: bool
) -> PlaceNetwork:
    if options.weights is not None:
        return load_checkpoint(options.weights)
    path = journal.folder / layout.NETWORK_FILE
    if not path.is_file():
        network = fit_network(
            sample_frames(source, rule, progress),
            options.backbone,
            options.backbone_weights,
            options.clusters,
            options.whitened_dimension,
            options.seed,
            options.device,
        )
        save_checkpoint(network, path)
    return load_checkpoint(path)


def _describe_drive(
    source: FrameSource,
    rule: KeyframeRule,
    options: BuildOptions,
    extractor: Extractor,
    journal: Journal,
    progress: bool,
) -> None:
    with tqdm(
        total=len(source),
        desc="mapping",
        unit="frame",
        disable=None if progress else True,
        dynamic_ncols=True,
    ) as bar:
        keyframes = select_keyframes(_counted(source, bar, options.require_poses), rule)
        remaining = islice(keyframes, len(journal.entries), None)
        for batch in describe_frames(remaining, extractor):
            _record(batch, options.store_images, journal)
            bar.set_postfix(places=len(journal.places))


def _counted(source: FrameSource, bar: tqdm, require_poses: bool) -> Iterator[Frame]:
    for frame in source:
        bar.update()
        if require_poses and frame.pose is None:
            raise SourceError(
                f"{source.description} has no pose for {frame.name}; name the poses "
                "(--pose-topic, --trajectory), or build a map of places without poses (--no-poses)"
            )
        yield frame


def _record(batch: list[DescribedFrame], storage: str, journal: Journal) -> None:
    entries, descriptors, images = [], [], []
    for described in batch:
        frame = described.frame
        if described.error is not None:
            entries.append(Entry(frame.name, frame.stamp, error=described.error))
            continue
        assert described.image is not None
        assert described.descriptor is not None
        if storage != "none":
            images.append(_encode(described.image, storage))
            journal.image_end += len(images[-1])
        entries.append(Entry.of_place(frame.name, frame.stamp, frame.pose, journal.image_end))
        descriptors.append(described.descriptor)
    journal.append(entries, descriptors, images)


def _encode(image: np.ndarray, storage: str) -> bytes:
    stored = resize_to_fit(image, _THUMBNAIL_PIXELS) if storage == "thumbnail" else image
    return encode_jpeg(stored, _JPEG_QUALITY[storage])


def _finish(
    source: FrameSource, output: Path, options: BuildOptions, extractor: Extractor, journal: Journal
) -> PlaceMap:
    new = output.with_name(f".{output.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    places = journal.places
    poses = np.array([entry.pose or [np.nan] * 7 for entry in places], dtype=np.float64)
    descriptors = _write_descriptors(journal.descriptors_path, new, len(places), extractor.dimension)
    np.save(new / layout.STAMPS_FILE, np.array([entry.stamp for entry in places], dtype=np.int64))
    np.save(new / layout.POSES_FILE, poses)
    (new / layout.NAMES_FILE).write_text(json.dumps([entry.name for entry in places]))
    if options.store_images != "none":
        shutil.copyfile(journal.images_path, new / layout.IMAGES_FILE)
        np.save(new / layout.IMAGE_ENDS_FILE, np.array([entry.image_end for entry in places], dtype=np.int64))
    if options.weights is None:
        shutil.copyfile(journal.folder / layout.NETWORK_FILE, new / layout.NETWORK_FILE)
    files = describe_files(new, sorted(path.name for path in new.iterdir()))
    content = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    MapHeader(
        map_id=f"{output.name}@{content[:12]}",
        model_id=extractor.model_id,
        dimension=extractor.dimension,
        places=len(places),
        frame_id=source.frame_id,
        source=source.description,
        source_fingerprint=source.fingerprint,
        preprocessing=asdict(extractor.network.spec.preprocessing),
        weights=None if options.weights is None else str(options.weights.resolve()),
        store_images=options.store_images,
        spacing=median_spacing(poses[:, :3]),
        similarity_threshold=similarity_elsewhere(descriptors, poses[:, :3]),
        skipped=dict(_broken(journal) + source.skipped),
        files=files,
    ).write(new / layout.HEADER_FILE)
    replace_directory(new, output)
    shutil.rmtree(journal.folder)
    return PlaceMap.open(output)


def _write_descriptors(raw: Path, folder: Path, count: int, dimension: int) -> np.ndarray:
    rows = np.memmap(raw, dtype=np.float32, mode="r", shape=(count, dimension))
    np.save(folder / layout.DESCRIPTORS_FILE, rows)
    return rows


def _broken(journal: Journal) -> Counter[str]:
    return Counter(entry.error for entry in journal.entries if entry.error is not None)


def _as_text(reasons: Counter[str]) -> str:
    return "; ".join(f"{reason} ({count} times)" for reason, count in reasons.items()) or "it has no image"
