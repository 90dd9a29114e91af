"""When a place counts as seen again."""

from __future__ import annotations

from dataclasses import dataclass

from netvlad_core.data.radii import POSITIVE_WITHIN
from netvlad_core.localization.geometry.verification_options import VerificationOptions
from netvlad_core.mapping.keyframes import KeyframeRule
from netvlad_core.settings import group, setting

# Wrong pairs of real streets reach 34 inliers; each image is compared with five places, for time. One pair of
# strangers in thirty reaches the log ratio, but three images must agree with odometry, or a whole window. Of
# 1, 2, 3 and 5 nats none closes wrongly; in a corridor of small images 41, 39, 21 and 0 of 46 returns are
# found.
VERIFICATION = VerificationOptions(min_inliers=40, min_log_ratio=2.0, most_places=5)


@dataclass(frozen=True)
class LoopClosureOptions:
    """When a place counts as seen again.

    Options without a source are by design, and neighbours of their defaults were not tried; what the defaults
    give is in `python -m benchmarks.loop_closure`.
    """

    keyframes: KeyframeRule = group("closures.keyframes", KeyframeRule())
    most_keyframes: int = setting(
        20_000,
        "Number of keyframes at which every second one of the drive is dropped; it bounds memory and time.",
        10,
        10_000_000,
        name="most_keyframes",
        source="a bound of memory: 20 km at a metre, 573 MB with descriptors of 7168 numbers",
    )
    min_time: float = setting(20.0, "Seconds between a place and its return.", 0.0, 1e6, name="min_time")
    min_way: float = setting(30.0, "Metres of driving between them.", 0.0, 1e6, name="min_way")
    window: float = setting(15.0, "Metres of driving behind the robot that must match, too.", 0.0, 1e6)
    radius: float = setting(
        POSITIVE_WITHIN,
        "Metres beyond which a place is another one.",
        0.1,
        1000.0,
        source="the paper's positive radius",
    )
    min_score: float = setting(
        0.5,
        "Least mean normalised similarity over the window; 0.0: unrelated images, 1.0: neighbours. "
        "If the closure rests on geometry, the current image alone must reach it.",
        0.0,
        10.0,
        name="min_score",
    )
    min_margin: float = setting(
        0.15,
        "Normalised similarity by which the place must beat every other one.",
        0.0,
        10.0,
        name="min_margin",
    )
    spacing: float = setting(3.0, "Metres from one closure to the next.", 0.0, 1e6)
    verification: VerificationOptions | None = group(
        "geometry",
        VERIFICATION,
        setting(
            False,
            "Compare images with those of the places; gives metric poses if the camera is calibrated.",
            name="verification",
        ),
    )
    sightings: int = setting(
        3,
        "With verification: images of the window, the current one included, that geometry and odometry put "
        "at one place and that close without the whole window.",
        1,
        1000,
    )
