"""A second drive held against a map: recall, states and position errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from netvlad_core.data.frames import Frame
from netvlad_core.data.geometry import Pose
from netvlad_core.data.radii import CORRECT_WITHIN
from netvlad_core.errors import SourceError
from netvlad_core.evaluation.recall import RECALL_AT, positives_within, recall_at
from netvlad_core.localization.localizer import Localization, Localizer, State
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.model.streaming import describe_frames


@dataclass(frozen=True)
class DriveResult:
    """Figures of one evaluated drive.

    Attributes
    ----------
    queries : images evaluated; the denominator of the recall.
    without_positive : queries with no correct place in the map; they count as failed.
    left_out : reason and count of images that are not among the queries.
    recall : {n: share of all queries in [0, 1]}.
    threshold : metres, within which a place is correct.
    states : number of queries in each state.
    position_errors : (M,) metres, of the poses given (state LOCALIZED).
    """

    queries: int
    without_positive: int
    recall: dict[int, float]
    threshold: float
    states: dict[str, int]
    position_errors: np.ndarray
    left_out: dict[str, int] = field(default_factory=dict)


def localize_frames(
    localizer: Localizer, frames: Iterable[Frame], left_out: Counter[str], track: bool = False
) -> Iterator[tuple[Frame, Localization]]:
    """Localize a drive image by image; broken images are counted in `left_out`.

    With `track` the images are judged as a sequence, and the frames' poses serve as odometry: only how they
    change matters, not where they are.
    """
    for batch in describe_frames(frames, localizer.extractor):
        for described in batch:
            if described.descriptor is None:
                left_out[described.error or "broken image"] += 1
                continue
            frame, image = described.frame, described.image
            query = None if image is None else localizer.prepare(image)
            if track:
                yield frame, localizer.track(described.descriptor, frame.stamp, frame.pose, query)
            else:
                yield frame, localizer.locate(described.descriptor, frame.stamp, query)


def evaluate_drive(
    place_map: PlaceMap,
    answers: Iterable[tuple[Pose | None, Localization]],
    threshold: float = CORRECT_WITHIN,
) -> DriveResult:
    """Compare answers with the true poses of their images.

    Parameters
    ----------
    answers : true pose map <- base_link and answer; answers without a true pose are counted as left out.
    threshold : metres.

    Raises
    ------
    SourceError
        If the map or all queries are without poses.
    """
    if not place_map.has_poses:
        raise SourceError(f"the map {place_map.path} has no poses, so nothing can be evaluated against it")
    everything = list(answers)
    known = [(pose, answer) for pose, answer in everything if pose is not None]
    if not known:
        raise SourceError(
            "no query has a true pose; evaluation needs positions of map and queries in one frame"
        )
    truth = np.array([pose.position for pose, _ in known])
    retrieved = np.array([[match.place for match in answer.matches] for _, answer in known])
    positives = positives_within(np.asarray(place_map.poses[:, :3]), truth, threshold)
    errors = [
        np.linalg.norm(answer.prior.pose.position - pose.position) for pose, answer in known if answer.prior
    ]
    missing = len(everything) - len(known)
    return DriveResult(
        queries=len(known),
        without_positive=int((~positives.any(axis=1)).sum()),
        recall=recall_at(retrieved, positives, [n for n in RECALL_AT if n <= retrieved.shape[1]]),
        threshold=threshold,
        states={state.name: sum(answer.state is state for _, answer in known) for state in State},
        position_errors=np.array(errors),
        left_out={"without a true pose": missing} if missing else {},
    )
