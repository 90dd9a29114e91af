"""A recorded drive, image by image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from netvlad_core.data.frames import Frame
from netvlad_core.localization.localizer import Localization, Localizer
from netvlad_core.localization.observation import Observation
from netvlad_core.model.streaming import describe_frames


def observe_frames(
    localizer: Localizer, frames: Iterable[Frame], left_out: Counter[str]
) -> Iterator[tuple[Frame, Observation]]:
    """Observe a drive, the frames' poses as odometry; broken images are counted in `left_out`."""
    for batch in describe_frames(frames, localizer.extractor):
        for described in batch:
            frame, image = described.frame, described.image
            if image is None or described.descriptor is None:
                left_out[described.error or "broken image"] += 1
            else:
                yield (
                    frame,
                    localizer.observe(image, frame.stamp, frame.pose, descriptor=described.descriptor),
                )


def localize_frames(
    localizer: Localizer, frames: Iterable[Frame], left_out: Counter[str]
) -> Iterator[tuple[Frame, Localization]]:
    """Localize a drive image by image; broken images are counted in `left_out`.

    With the option `sequence_filter` the images are judged as a drive, and the changes of the frames' poses
    serve as odometry.
    """
    judge = localizer.track if localizer.options.sequence_filter else localizer.locate
    for frame, observation in observe_frames(localizer, frames, left_out):
        yield frame, judge(observation)
