"""A map described anew by another network, from the images that it keeps."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from netvlad_core.data.frames import fingerprint_of
from netvlad_core.files import sole_writer
from netvlad_core.mapping.builder import (
    BuildOptions,
    check_precision,
    copy_network,
    describe_keyframes,
)
from netvlad_core.mapping.care.parts import Described, Part, check_fit, history_with
from netvlad_core.mapping.journal import Journal
from netvlad_core.mapping.keyframes import KEEP_ALL
from netvlad_core.mapping.map_header import NETWORK_FILE
from netvlad_core.mapping.map_source import MapSource
from netvlad_core.mapping.map_writer import put_together, write_descriptors, write_places
from netvlad_core.mapping.place_map import PlaceMap

_log = logging.getLogger(__name__)


def redescribe(place_map: PlaceMap, output: Path, options: BuildOptions, progress: bool = True) -> PlaceMap:
    """Write the map with new descriptors of its images; places, poses and sessions stay.

    Places whose image cannot be read are left out and counted in the header. A run that was stopped
    continues, as that of `build_map` does.

    Parameters
    ----------
    options : the network, or how one is fitted to the images, and `dimension`; those of poses, keyframes and
        stored images do not count.

    Raises
    ------
    SourceError
        If the map keeps no images, or none can be read.
    MapError
        If the output is the map itself, or something else than a map is there.
    CheckpointError
        If the weights cannot be read.
    NetvladError
        If the precision is int8 and there are no weights, or another program writes to the output.
    """
    source = MapSource(place_map)
    check_precision(options)
    check_fit([place_map], output)
    if place_map.header.store_images == "thumbnail":
        _log.warning("the map keeps thumbnails, which tell less than the images of the drive")
    options = replace(
        options, keyframes=KEEP_ALL, store_images="none", store_features="none", require_poses=False
    )
    output = output.resolve()
    with sole_writer(output) as work:
        given = [path for path in (options.weights, options.backbone_weights) if path is not None]
        journal = Journal(work, fingerprint_of(given, (source.fingerprint, options)))
        extractor = describe_keyframes(source, KEEP_ALL, options, journal, progress)
        kept = np.flatnonzero([entry.error is None for entry in journal.entries])
        described = Described.of([Part.of(place_map, kept)], has_images=True)
        weights = options.weights or journal.folder / NETWORK_FILE
        header = replace(
            place_map.header,
            model_id=extractor.model_id,
            dimension=extractor.dimension,
            preprocessing=asdict(extractor.spec.preprocessing),
            weights=None if options.is_network_kept else str(weights.resolve()),
            skipped=dict(Counter(place_map.header.skipped) + journal.broken),
            sessions=described.drives,
            history=history_with([place_map], "redescribe"),
        )
        with put_together(output, header) as new:
            write_descriptors(journal.descriptors(extractor.dimension), new, options.dimension)
            write_places(new, described.places, described.names)
            if options.is_network_kept:
                copy_network(weights, new)
        journal.remove()
    return PlaceMap.open(output)
