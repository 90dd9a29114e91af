"""What the page says of each image of a drive."""

from __future__ import annotations

import base64
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.data.frames import Frame
from netvlad_core.data.geometry import Pose
from netvlad_core.errors import ImageError
from netvlad_core.evaluation.report.queries import DriveRecord
from netvlad_core.evaluation.report.sheets import PictureSheets
from netvlad_core.localization.geometry.verification_options import VerificationOptions
from netvlad_core.localization.localizer import Localizer, localize_frames
from netvlad_core.localization.localizer_options import LocalizerOptions
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.model.extractor import Extractor
from support.street import street, view, write_catalogue

_FRONTS = street(seed=1, metres=80)
_SINGLE = LocalizerOptions(sequence_filter=False)


def _frame(number: int, image: np.ndarray, x: float | None) -> Frame:
    pose = None if x is None else Pose.from_xyz_yaw(x, 0.0)
    return Frame(f"{number:03d}.png", (5 + number) * 10**9, pose, lambda: image)


def _record(
    localizer: Localizer, frames: list[Frame], left_out: Counter[str] | None = None, **options: Any
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Values and rows of a drive, through JSON."""
    record = DriveRecord(localizer, 25.0, PictureSheets(len(frames), 1e5), **options)
    record.localize(frames, Counter() if left_out is None else left_out)
    values = json.loads(json.dumps(record.values(), allow_nan=False))
    return values, [dict(zip(values["columns"], row, strict=True)) for row in values["rows"]]


@pytest.fixture
def drive() -> list[Frame]:
    return [_frame(number, view(_FRONTS, 2 * number + 1, 0.9), 2 * number + 1) for number in range(30)]


def test_answers_are_those_of_the_localizer(
    street_map: PlaceMap, extractor: Extractor, drive: list[Frame]
) -> None:
    values, rows = _record(Localizer(street_map, extractor), drive)
    answers = [answer for _, answer in localize_frames(Localizer(street_map, extractor), drive, Counter())]
    assert [row["state"] for row in rows] == [int(answer.state) for answer in answers]
    assert [row["place"] for row in rows] == [answer.place for answer in answers]
    assert [row["matches"][0][0] for row in rows] == [answer.matches[0].place for answer in answers]
    assert (rows[0]["time"], rows[3]["time"]) == (0.0, 3.0)
    assert values["states"]["LOCALIZED"] == sum(row["pose"] is not None for row in rows) > 15
    assert {stage["stage"] for stage in values["times"]} == {"decode", "network", "search"}
    posed = [row["error"] for row in rows if row["error"] is not None]
    assert len(posed) == values["states"]["LOCALIZED"]
    assert values["error"]["worst"] == max(posed)
    assert sum(values["errors"]["counts"]) == len(posed)
    assert values["recall"][0] == 1.0
    assert len(values["recall"]) == 20


def test_the_belief_adds_up_and_peaks_where_the_robot_is(
    street_map: PlaceMap, extractor: Extractor, drive: list[Frame]
) -> None:
    values, rows = _record(Localizer(street_map, extractor), drive)
    parts = values["parts"]
    for row in rows:
        others, *standing = row["belief"]
        total = sum(p for _, p in standing) + others * (len(parts) - 1 - len(standing))
        assert total == pytest.approx(1.0, abs=0.03)
    part = max(rows[-1]["belief"][1:], key=lambda one: one[1])[0]
    assert abs(parts[part] - rows[-1]["nearest"]) <= 2


def test_an_answer_is_right_wrong_missed_or_rightly_silent(
    street_map: PlaceMap, extractor: Extractor
) -> None:
    known = view(_FRONTS, 2)
    blank = np.zeros_like(known)
    images, truth = [known, known, blank, blank], [2.0, 60.0, 2.0, 500.0]
    frames = [_frame(number, images[number], truth[number]) for number in range(4)]
    localizer = Localizer(street_map, extractor, replace(_SINGLE, min_similarity=0.5))
    values, rows = _record(localizer, frames)
    assert [row["verdict"] for row in rows] == ["right", "wrong", "missed", "silent"]
    assert values["verdicts"] == {"right": 1, "wrong": 1, "missed": 1, "silent": 1}
    assert rows[1]["nearest"] == 30
    assert rows[1]["away"] == pytest.approx(rows[1]["error"], abs=3)
    assert rows[0]["belief"] is None  # no filter


def test_images_without_a_true_pose_are_shown_but_not_judged(
    street_map: PlaceMap, extractor: Extractor, drive: list[Frame]
) -> None:
    some = [replace(frame, pose=frame.pose if number % 2 else None) for number, frame in enumerate(drive)]
    values, rows = _record(Localizer(street_map, extractor, _SINGLE), some)
    assert len(rows) == 30
    assert values["judged"] == 15
    assert [row["verdict"] is None for row in rows] == [number % 2 == 0 for number in range(30)]
    for frames, options in (([replace(f, pose=None) for f in drive], {}), (drive, {"has_truth": False})):
        values, rows = _record(Localizer(street_map, extractor), frames, **options)
        assert "verdicts" not in values
        assert {row["error"] for row in rows} == {None}
        assert {row["truth"] and tuple(row["truth"]) for row in rows} == {None}


def test_a_map_without_poses_gives_places_only(
    checkpoint: Path, extractor: Extractor, drive: list[Frame], tmp_path: Path
) -> None:
    write_catalogue(tmp_path / "drive", _FRONTS, range(0, 80, 2))
    source = CatalogueSource.from_folder(tmp_path / "drive")
    options = BuildOptions(
        weights=checkpoint, device="cpu", require_poses=False, store_images="none", store_features="none"
    )
    place_map = build_map(source, tmp_path / "map", options, progress=False)
    values, rows = _record(Localizer(place_map, extractor), drive)
    assert "verdicts" not in values
    assert {row["pose"] is None for row in rows} == {True}
    assert abs(rows[-1]["place"] - 29) <= 2


def test_broken_images_are_counted(street_map: PlaceMap, extractor: Extractor, drive: list[Frame]) -> None:
    def broken() -> np.ndarray:
        raise ImageError("half a picture", "cut off")

    left_out: Counter[str] = Counter()
    _, rows = _record(
        Localizer(street_map, extractor), [replace(drive[0], decode=broken), *drive[:3]], left_out
    )
    assert len(rows) == 3
    assert left_out == {"cut off": 1}


def test_points_are_those_that_verification_agrees_on(
    checkpoint: Path, extractor: Extractor, tmp_path: Path
) -> None:
    catalogue = write_catalogue(tmp_path / "drive", _FRONTS, range(0, 80, 8))
    options = BuildOptions(weights=checkpoint, device="cpu", store_images="full", store_features="none")
    place_map = build_map(CatalogueSource.from_csv(catalogue), tmp_path / "map", options, progress=False)
    localizer = Localizer(place_map, extractor, replace(_SINGLE, verification=VerificationOptions()))
    values, rows = _record(localizer, [_frame(0, view(_FRONTS, 17, 0.9), 17.0)])
    assert rows[0]["place"] == 2
    assert rows[0]["matches"][0][2] > 30
    points = np.frombuffer(base64.b64decode(rows[0]["pairs"]), np.uint8).reshape(-1, 4) / 255
    assert len(points) == 24
    # A metre further on, everything is 8 of 160 pixels further left.
    moved = np.median(points[:, 2:] - points[:, :2], axis=0)
    np.testing.assert_allclose(moved, (8 / 160, 0), atol=0.01)
    assert "local features" in {stage["stage"] for stage in values["times"]}
