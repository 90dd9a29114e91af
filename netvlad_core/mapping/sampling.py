"""Images evenly spread over a drive, to fit a network or to compare two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np

from netvlad_core.data.frames import FrameSource
from netvlad_core.errors import ImageError, SourceError
from netvlad_core.mapping.keyframes import KeyframeRule, select_keyframes
from netvlad_core.model.preprocessing import check_image
from netvlad_core.progress import bar

# As many images as the paper takes for its clusters.
SAMPLE_IMAGES = 500


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
