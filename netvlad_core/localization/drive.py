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
    localizer: Localizer, frames: Iterable[Frame], left_out: Counter[str], track: bool = False
) -> Iterator[tuple[Frame, Localization]]:
    """Localize a drive image by image; broken images are counted in `left_out`.

    With `track` the images are judged as a sequence, and the frames' poses serve as odometry: only how they
    change matters, not where they are.
    """
    for frame, observation in observe_frames(localizer, frames, left_out):
        yield frame, localizer.track(observation) if track else localizer.locate(observation)
