"""A drive becomes a map: keyframes, descriptors, poses and images, in one pass whose memory does not grow."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netvlad_core.data.frames import Frame, FrameSource, fingerprint_of
from netvlad_core.data.images import encode_jpeg, resize_to_fit
from netvlad_core.errors import NetvladError, SourceError
from netvlad_core.files import sole_writer
from netvlad_core.geometry.features import KINDS, usual_kind
from netvlad_core.geometry.local_features import find_features
from netvlad_core.geometry.packing import PackedFeatures, StoredFeatures
from netvlad_core.mapping import map_header as layout
from netvlad_core.mapping.journal import Entry, Journal
from netvlad_core.mapping.keyframes import (
    KeyframeRule,
    default_rule,
    nothing_usable,
    sample_frames,
    select_keyframes,
)
from netvlad_core.mapping.map_header import MapHeader
from netvlad_core.mapping.map_writer import check_output, put_together, write_descriptors, write_places
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.places import Places
from netvlad_core.mapping.projection import STORED_DIMENSION
from netvlad_core.model.backbones import PACKAGED_NETWORK
from netvlad_core.model.extractor import Extractor
from netvlad_core.model.open_engine import variant_path
from netvlad_core.model.spec import ONNX_PRECISIONS, NetworkSpec
from netvlad_core.model.streaming import DescribedFrame, describe_frames
from netvlad_core.progress import bar

if TYPE_CHECKING:
    from netvlad_core.model.network import PlaceNetwork

_log = logging.getLogger(__name__)

THUMBNAIL_PIXELS = 160
_JPEG_QUALITY = {"thumbnail": 85, "full": 95}


@dataclass(frozen=True)
class BuildOptions:
    """How a map is built.

    Attributes
    ----------
    keyframes : rule for places; None takes `default_rule`.
    store_images : "none" (privacy), "thumbnail" (160 pixels) or "full".
    store_features : "none", or the kind of the local features to keep, a name in `KINDS`; "auto" takes
        `usual_kind`.
    weights : checkpoint or ONNX file; None fits a head on the drive and keeps the network in the map.
    spec, backbone_weights, seed : network to fit if there are no weights, as in `fit_network`.
    keep_network : whether the map holds a copy of the weights, a checkpoint, and of the ONNX file beside it;
        of the package's own network it always does.
    dimension : numbers stored of a descriptor, by `principal_directions`, if there are more places; 0 stores
        all.
    directions : file of NumPy with directions (P, D) along which descriptors are stored instead, so that
        several maps share them.
    require_poses : False accepts a source without poses; its map gives place ids but no pose.
    device, batch_size, precision : as in `Extractor`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from netvlad_core import BuildOptions
    >>> options = BuildOptions(store_images="full", weights=Path("campus.safetensors"), device="cpu")
    >>> options.require_poses
    True
    """

    keyframes: KeyframeRule | None = None
    store_images: str = "thumbnail"
    store_features: str = "auto"
    weights: Path | None = None
    spec: NetworkSpec | None = None
    backbone_weights: Path | None = None
    seed: int = 0
    keep_network: bool = False
    dimension: int = STORED_DIMENSION
    directions: Path | None = None
    require_poses: bool = True
    device: str = "auto"
    batch_size: int | None = None
    precision: str = "auto"

    @property
    def is_network_kept(self) -> bool:
        """Whether the map works on another machine, without a file beside it."""
        return self.keep_network or self.weights in (None, PACKAGED_NETWORK)


def build_map(source: FrameSource, output: Path, options: BuildOptions, progress: bool = True) -> PlaceMap:
    """Build a map and put it at `output` in one step.

    A run that was stopped leaves an older map at `output` untouched, and its own work in `.<name>.partial`
    beside it; the same call continues there.

    Raises
    ------
    SourceError
        If the source has no usable frame, or no poses although they are required.
    MapError
        If something that is no map, or more than a map, stands at `output`.
    CheckpointError
        If the weights cannot be read.
    NetvladError
        If the precision is int8 and there are no weights, there are no such local features, or another
        program builds a map at `output`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from netvlad_core import BuildOptions, build_map, open_source
    >>> drive = open_source("evening/catalogue.csv")
    >>> options = BuildOptions(weights=Path("campus.safetensors"), device="cpu")
    >>> place_map = build_map(drive, Path("maps/evening"), options, progress=False)
    >>> len(place_map), place_map.has_poses, place_map.header.map_id
    (27, True, 'evening@...')
    """
    check_precision(options)
    if (kind := options.store_features) == "auto":
        options = replace(options, store_features=usual_kind())
    elif kind not in ("none", *KINDS):
        raise NetvladError(f"there are no local features {kind!r}; there are: auto, none, {', '.join(KINDS)}")
    output = output.resolve()  # a link to a map stays a link, and "." has a name
    with sole_writer(output) as work:
        return _build(source, output, options, work, progress)


def check_precision(options: BuildOptions) -> None:
    """Raise NetvladError if the network is to run in int8, and there is none yet."""
    if options.precision == "int8" and options.weights is None:
        raise NetvladError(
            "int8 needs an exported network: run `netvlad fit`, then `netvlad export --precision int8`, then "
            "pass it with --weights"
        )


def _build(source: FrameSource, output: Path, options: BuildOptions, work: Path, progress: bool) -> PlaceMap:
    check_output(output)
    if options.require_poses:
        for frame in islice(source, 1):  # before the fit, which takes minutes
            _check_pose(source, frame)
    rule = options.keyframes or default_rule(source, options.require_poses)
    files = (options.weights, options.backbone_weights, options.directions)
    given = [path for path in files if path is not None]
    key = fingerprint_of(given, (source.fingerprint, rule, options))
    journal = Journal(work, key)
    extractor = describe_keyframes(source, rule, options, journal, progress)
    _write_map(source, output, options, extractor, journal)
    journal.remove()
    return PlaceMap.open(output)


def describe_keyframes(
    source: FrameSource, rule: KeyframeRule, options: BuildOptions, journal: Journal, progress: bool
) -> Extractor:
    """Put the keyframes of a source that a journal does not hold yet into it, described.

    Returns
    -------
    The network: that of the options, or one that is fitted to the source and kept in the folder of the
    journal.

    Raises
    ------
    SourceError
        If the source has no usable frame, or no poses although they are required.
    CheckpointError
        If the weights cannot be read.
    """
    weights = options.weights or fitted_weights(
        lambda: sample_frames(source, rule, progress)(), options, journal.folder
    )
    extractor = Extractor.load(weights, options.device, options.batch_size, options.precision)
    journal.resume(extractor.dimension, extractor.batch_size)
    try:
        with bar(title="mapping", total=len(source), unit="frame", show=progress) as shown:
            keyframes = select_keyframes(_counted(source, shown, options.require_poses), rule)
            remaining = islice(keyframes, len(journal.entries), None)
            for batch in describe_frames(remaining, extractor, partial(_stored, options=options)):
                _record(batch, journal)
                shown.set_postfix(places=journal.place_count, refresh=False)
    finally:
        journal.close()
    if not journal.place_count:
        raise SourceError(nothing_usable(source, journal.broken))
    return extractor


def fitted_weights(
    sample_images: Callable[[], Iterator[np.ndarray]], options: BuildOptions, folder: Path
) -> Path:
    """Fit the network of the options and write it to a folder, with its ONNX file; or find it there.

    Parameters
    ----------
    sample_images : as in `fit_network`.
    """
    # Torch is needed here only: with an ONNX file as weights a map is built without it.
    try:
        from netvlad_core.model.checkpoints import load_checkpoint, save_checkpoint
        from netvlad_core.model.fitting import fit_network
    except ModuleNotFoundError as error:
        raise NetvladError(
            f"a network is fitted to the drive by {error.name}, which is not installed: pip install torch "
            "torchvision, or take the network of this package with --weights packaged"
        ) from error

    path, exported = folder / layout.NETWORK_FILE, folder / layout.ONNX_FILE
    if not path.is_file():
        network = fit_network(
            sample_images, options.spec, options.backbone_weights, options.seed, options.device
        )
        save_checkpoint(network, path)
    if not exported.is_file():  # a run may have been killed in between
        _export(load_checkpoint(path), exported, options.backbone_weights is None)
    return path


def copy_network(weights: Path, folder: Path) -> None:
    """Copy a checkpoint and its ONNX file, or an ONNX file alone, to the folder of a map, if they exist."""
    if weights.suffix == ".onnx":
        precision = next((p for p in ONNX_PRECISIONS if weights.stem.endswith(f".{p}")), "float32")
        files = {variant_path(Path(layout.NETWORK_FILE), precision).name: weights}
    else:
        files = {layout.NETWORK_FILE: weights, layout.ONNX_FILE: variant_path(weights, "float32")}
    for name, path in files.items():
        if path.is_file():
            shutil.copyfile(path, folder / name)


def _export(network: PlaceNetwork, path: Path, has_packaged_backbone: bool) -> None:
    """Write the ONNX file that fast engines run; without it torch runs the checkpoint."""
    from netvlad_core.model.export import export, missing_packages, too_large

    missing = missing_packages()
    if reason := f"pip install {' '.join(missing)}" if missing else too_large(network):
        _log.info("the map gets no ONNX file: %s", reason)
        return
    is_like_packaged = has_packaged_backbone and network.spec == NetworkSpec.of_backbone()
    export(network, path, template=variant_path(PACKAGED_NETWORK, "float32") if is_like_packaged else None)


def _counted(source: FrameSource, shown: Any, require_poses: bool) -> Iterator[Frame]:
    for frame in source:
        shown.update()
        if require_poses:
            _check_pose(source, frame)
        yield frame


def _check_pose(source: FrameSource, frame: Frame) -> None:
    if frame.pose is None:
        raise SourceError(
            f"{source.description} has no pose for {frame.name}; name the poses "
            "(--pose-topic, --trajectory), or build a map of places without poses (--no-poses)"
        )


def _stored(image: np.ndarray, options: BuildOptions) -> tuple[bytes, bytes]:
    """What a map keeps of an image: JPEG and packed local features."""
    storage, kind = options.store_images, options.store_features
    encoded = features = b""
    if storage != "none":
        kept = resize_to_fit(image, THUMBNAIL_PIXELS) if storage == "thumbnail" else image
        encoded = encode_jpeg(kept, _JPEG_QUALITY[storage])
    if kind != "none":
        features = PackedFeatures(find_features(image, KINDS[kind].stored, kind)).pack()
    return encoded, features


def _record(batch: list[DescribedFrame], journal: Journal) -> None:
    entries, descriptors, images = [], [], []
    for described in batch:
        frame, descriptor = described.frame, described.descriptor
        if descriptor is None:
            entries.append(Entry(frame.name, frame.stamp, error=described.error or "broken image"))
            continue
        encoded, features = described.seen
        images.append(encoded + features)
        journal.image_end += len(images[-1])
        entries.append(Entry.of_place(frame.name, frame.stamp, frame.pose, journal.image_end, len(features)))
        descriptors.append(descriptor)
    journal.append(entries, descriptors, images)


def _write_map(
    source: FrameSource, output: Path, options: BuildOptions, extractor: Extractor, journal: Journal
) -> None:
    weights = options.weights or journal.folder / layout.NETWORK_FILE
    header = MapHeader(
        model_id=extractor.model_id,
        dimension=extractor.dimension,
        frame_id=source.frame_id,
        source=source.description,
        source_fingerprint=source.fingerprint,
        preprocessing=asdict(extractor.spec.preprocessing),
        weights=None if options.is_network_kept else str(weights.resolve()),
        store_images=options.store_images,
        skipped=dict(journal.broken + source.skipped),
        origin=source.origin,
    )
    entries = journal.places
    poses = np.array([entry.pose or [np.nan] * 7 for entry in entries], dtype=np.float64)
    stamps = np.array([entry.stamp for entry in entries])
    features = None
    if options.store_features != "none":
        features = StoredFeatures(options.store_features, journal.pieces(of_features=True))
    places = Places(np.empty((0, 0), np.float32), stamps, poses, source.camera, features=features)
    if features is not None and options.store_images != "none":
        places.images = journal.pieces(of_features=False)
    with put_together(output, header) as new:
        directions = None if options.directions is None else np.load(options.directions, allow_pickle=False)
        rows = journal.descriptors(extractor.dimension)
        write_descriptors(rows, new, options.dimension, directions=directions)
        write_places(new, places, [entry.name for entry in entries])
        if options.store_images != "none" and features is None:
            shutil.copyfile(journal.images_path, new / layout.IMAGES_FILE)
            ends = np.array([entry.image_end for entry in entries], dtype=np.int64)
            np.save(new / layout.IMAGE_ENDS_FILE, ends)
        if options.is_network_kept:
            copy_network(weights, new)
