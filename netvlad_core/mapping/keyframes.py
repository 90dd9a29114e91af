"""Which frames of a drive become places of the map, and which of these stand for all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from netvlad_core.data.frames import Frame, FrameSource
from netvlad_core.data.geometry import Pose, rotation_between
from netvlad_core.errors import ImageError, SourceError
from netvlad_core.model.preprocessing import check_image
from netvlad_core.progress import bar
from netvlad_core.settings import setting

# As many images as the paper takes for its clusters.
SAMPLE_IMAGES = 500


@dataclass(frozen=True)
class KeyframeRule:
    """A frame becomes a keyframe when the camera has moved, turned or waited enough since the last one.

    The defaults are by design: several places within the positive radius of 10 m. Neighbours were not tried.
    """

    distance: float | None = setting(
        1.0,
        "Metres from one keyframe to the next; 0.0 for no such rule.",
        0.0,
        1000.0,
        name="keyframe_distance",
        none=0.0,
    )
    angle: float | None = setting(
        15.0, "Degrees from one keyframe to the next; 0.0 for no such rule.", 0.0, 180.0, none=0.0
    )
    time: float | None = setting(
        None, "Seconds from one keyframe to the next; 0.0 for no such rule.", 0.0, 1e6, none=0.0
    )

    @property
    def keeps_all(self) -> bool:
        return self.distance is None and self.angle is None and self.time is None


KEEP_ALL = KeyframeRule(None, None, None)


def default_rule(source: FrameSource, poses_required: bool = True) -> KeyframeRule:
    """All images of a collection; those of a recording by way and turn, and each second if poses may miss."""
    if not source.is_stream:
        return KEEP_ALL
    return KeyframeRule() if poses_required else KeyframeRule(time=1.0)


def select_keyframes(frames: Iterable[Frame], rule: KeyframeRule) -> Iterator[Frame]:
    """Yield the keyframes, the first frame among them. The same frames give the same keyframes.

    Only time can choose a frame without a pose. The first frame with a pose after it is a keyframe, unless
    the rule is on time alone.
    """
    last: Frame | None = None
    for frame in frames:
        if last is None or rule.keeps_all or _is_due(frame, last, rule):
            last = frame
            yield frame


def _is_due(frame: Frame, last: Frame, rule: KeyframeRule) -> bool:
    # A clock that jumps back starts anew.
    waited = abs(frame.stamp - last.stamp) / 1e9
    if rule.time is not None and waited >= rule.time:
        return True
    if frame.pose is None or (rule.distance is None and rule.angle is None):
        return False
    return last.pose is None or has_moved(frame.pose, last.pose, rule)


def has_moved(pose: Pose, last: Pose, rule: KeyframeRule) -> bool:
    """Whether the way or the turn from the last keyframe makes another one."""
    if rule.distance is not None and np.linalg.norm(pose.position - last.position) >= rule.distance:
        return True
    if rule.angle is None:
        return False
    return bool(rotation_between(pose.quaternion, last.quaternion) >= np.radians(rule.angle))


def step_of(count: int, most: int = SAMPLE_IMAGES) -> int:
    """Distance in rows at which at most `most` of `count` rows are taken, evenly spread."""
    return max(1, -(-count // most))


def sample_frames(
    source: FrameSource,
    rule: KeyframeRule,
    progress: bool,
    most: int = SAMPLE_IMAGES,
    title: str = "fitting",
) -> Callable[[], Iterator[np.ndarray]]:
    """Return a function that reads at most `most` keyframes of a drive, uint8 RGB (H, W, 3)."""
    count = sum(1 for _ in select_keyframes(source, rule))
    step = step_of(count, most)

    def images() -> Iterator[np.ndarray]:
        chosen = islice(select_keyframes(source, rule), 0, None, step)
        used, broken = 0, Counter[str]()
        for frame in bar(chosen, title, -(-count // step), show=progress):
            try:
                image = frame.decode()
                check_image(image)
            except ImageError as error:
                broken[error.kind] += 1
                continue
            yield image
            used += 1
        if not used:
            raise SourceError(nothing_usable(source, broken))

    return images


def nothing_usable(source: FrameSource, broken: Counter[str]) -> str:
    """Sentence about a source without any usable image; `broken` are kinds and counts of broken ones."""
    reasons = (broken + source.skipped).most_common()
    named = "; ".join(f"{reason} ({count} times)" for reason, count in reasons[:3]) or "it has no image"
    others = f"; and {len(reasons) - 3} other reasons" if len(reasons) > 3 else ""
    remark = f"; {source.remark}" if source.remark else ""
    return f"no image of {source.description} could be used: {named}{others}{remark}"
