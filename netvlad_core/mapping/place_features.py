"""Local features of the places of a map, and the likelihood that they teach, as they are written into it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy.spatial.distance import cdist

from netvlad_core.data.radii import NEGATIVE_BEYOND, POSITIVE_WITHIN
from netvlad_core.geometry.evidence import Likelihood
from netvlad_core.geometry.packing import PackedFeatures, StoredFeatures
from netvlad_core.geometry.two_views import common_features
from netvlad_core.mapping import map_header as layout
from netvlad_core.mapping.place_geometry import PlaceGeometry
from netvlad_core.mapping.places import Places
from netvlad_core.mapping.rows import StoredRows
from netvlad_core.search import Rows

# Places whose strangers are looked at, and strangers of each, the most similar first: 360 pairs, a second of
# work. Bound of time; other numbers were not tried.
_SAMPLED, _STRANGERS = 60, 6
# Share of the pairs, the nearest first, beyond which they are far apart in a large map. On a corridor of 40
# images strangers beyond 10 instead of 25 take 12, 7 and 11 wrong answers to 9, 3 and 1 (as it is, dark and
# blurred), and 0, 0 and 2 right ones. Other shares were not tried.
_FAR = 2 / 3
_BLOCK = 1024  # descriptors in memory at a time


def write_features(folder: Path, places: Places) -> None:
    """Write the local features of places, whose descriptors are in the folder already.

    Features of the robot itself are left out, and points in metres are triangulated, unless a row is whole
    already, as one from another map is.
    """
    stored = places.features
    assert stored is not None
    geometry = PlaceGeometry(places)
    geometry.look_for_ego_mask()
    ends = []
    with (folder / layout.FEATURES_FILE).open("wb") as file:
        for place in range(len(places)):
            file.write(_whole_row(geometry, stored, place))
            ends.append(file.tell())
    np.save(folder / layout.FEATURE_ENDS_FILE, np.array(ends, np.int64))
    likelihood = learn(geometry, StoredRows.of_npy(folder / layout.DESCRIPTORS_FILE))
    facts = {"kind": stored.kind, "likelihood": likelihood and likelihood.to_json()}
    (folder / layout.FEATURE_FACTS_FILE).write_text(json.dumps(facts) + "\n")


def _whole_row(geometry: PlaceGeometry, stored: StoredFeatures, place: int) -> bytes:
    if stored[place].points is not None:
        return stored.rows[place]
    pose, points = geometry.places.pose(place), geometry.points_of(place)
    if pose is not None:
        points = pose.rotation.inv().apply(points - pose.position)
    return PackedFeatures(geometry.features_of(place), points.astype(np.float32)).pack()


def learn(geometry: PlaceGeometry, descriptors: Rows) -> Likelihood | None:
    """What the strangers of a map teach: places beyond 25 m that resemble each other most.

    In a map of a corridor or a hall, where less than a third of the pairs are so far apart, those beyond 10 m
    are taken, too: its two ends resemble each other less than the places an image has to be told apart from.
    None if there are few, as in a map of one room, or without poses.

    Parameters
    ----------
    descriptors : (N, P), of the places of the geometry.
    """
    positions = np.asarray(geometry.places.poses[:, :3])
    sampled = np.unique(np.linspace(0, len(positions) - 1, _SAMPLED).astype(int))
    queries = np.asarray(descriptors[sampled], np.float32)
    usual = np.quantile(cdist(positions[sampled], positions[sampled]), _FAR)
    beyond = NEGATIVE_BEYOND if usual > NEGATIVE_BEYOND else POSITIVE_WITHIN
    best = np.full((len(sampled), _STRANGERS), -np.inf)
    rows = np.zeros((len(sampled), _STRANGERS), np.int64)
    for start in range(0, len(positions), _BLOCK):
        block = slice(start, start + _BLOCK)
        similarities = queries @ np.asarray(descriptors[block], np.float32).T
        is_stranger = cdist(positions[sampled], positions[block]) > beyond  # false without poses
        best = np.hstack([best, np.where(is_stranger, similarities, -np.inf)])
        rows = np.hstack(
            [rows, np.broadcast_to(np.arange(start, start + similarities.shape[1]), similarities.shape)]
        )
        order = np.argsort(-best, axis=1, kind="stable")[:, :_STRANGERS]
        best, rows = np.take_along_axis(best, order, 1), np.take_along_axis(rows, order, 1)
    inliers = np.zeros(best.shape)
    for row, column in np.argwhere(np.isfinite(best)).tolist():
        place, stranger = int(sampled[row]), int(rows[row, column])
        inliers[row, column] = len(
            common_features(geometry.features_of(place), geometry.features_of(stranger))
        )
    return Likelihood.learned(inliers, best)
