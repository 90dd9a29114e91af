"""Judges the frames of poses: a topic with two publishers carries the poses of two robots."""

from __future__ import annotations

from collections import Counter

OTHER_FRAMES = "pose of other frames"

# Nanoseconds. A publisher that is silent for this long has gone; another one may take its place.
_SILENCE = 2 * 10**9

Frames = tuple[str, str]


class FrameJudge:
    """Keeps the poses of the first pair of frames, or of another pair once the first is silent.

    Attributes
    ----------
    kept : frame_id and child_frame_id of the poses that are used, None before the first one.
    others : pairs of the poses left out, with counts.
    """

    def __init__(self) -> None:
        self.kept: Frames | None = None
        self.others: Counter[Frames] = Counter()
        self._heard = 0

    def judge(self, frames: Frames, received: int) -> tuple[bool, bool]:
        """Judge a pose by its frames and time of arrival (nanoseconds).

        Returns
        -------
        Whether the pose is used, and whether its frames take the place of others.
        """
        starts_anew = False
        if frames != self.kept:
            if self.kept is not None and received - self._heard <= _SILENCE:
                self.others[frames] += 1
                return False, False
            starts_anew = self.kept is not None
            self.kept = frames
        self._heard = received
        return True, starts_anew

    @property
    def remark(self) -> str:
        """A sentence that names both pairs, empty if there is only one."""
        return describe(self.kept, self.others) if self.kept else ""


def main_frames(counts: Counter[Frames]) -> Frames:
    """Choose the pair of a recorded topic: the first one, unless another is more than twice as frequent.

    Pairs are counted in the order of their first messages; there is at least one.
    """
    first, (most, count) = next(iter(counts)), counts.most_common(1)[0]
    return most if count > 2 * counts[first] else first


def describe(kept: Frames, others: Counter[Frames]) -> str:
    """Sentence about poses of other frames on the same topic; empty if there are none."""
    if not others:
        return ""
    named = ", ".join(f"{count} of {_arrow(frames)}" for frames, count in others.most_common(3))
    return (
        f"two publishers on one topic? Poses of {_arrow(kept)} are used, {named} left out; "
        "stop one of the publishers or give it a topic of its own"
    )


def _arrow(frames: Frames) -> str:
    return " <- ".join(filter(None, frames)) or "(no name)"
