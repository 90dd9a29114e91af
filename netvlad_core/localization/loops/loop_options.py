"""When a place counts as seen again."""

from __future__ import annotations

from dataclasses import dataclass, field

from netvlad_core.data.radii import POSITIVE_WITHIN
from netvlad_core.localization.geometry.verification import VerificationOptions
from netvlad_core.mapping.keyframes import KeyframeRule


@dataclass(frozen=True)
class LoopClosureOptions:
    """When a place counts as seen again.

    Attributes
    ----------
    keyframes : what becomes a place of the growing map.
    most_keyframes : when there are so many, every second one goes and the rule's distance doubles.
    min_time, min_way : seconds and metres of driving that lie between a place and its return.
    window : metres of driving behind the robot that must match, too.
    radius : metres; another place is further away.
    min_score : likeness that the window must have on average: 0 a usual pair of images, 1 neighbours. Where
        geometry stands for the window, the present image must have it.
    min_margin : likeness by which it must beat every other place.
    spacing : metres from one closure to the next.
    verification : options of the geometric verification, None for none.
    sightings : with verification: images of the window that geometry and odometry put at one place, the
        present one among them, which close without all of the window.
    """

    keyframes: KeyframeRule = field(default_factory=KeyframeRule)
    most_keyframes: int = 20_000
    min_time: float = 20.0
    min_way: float = 30.0
    window: float = 15.0
    radius: float = POSITIVE_WITHIN
    min_score: float = 0.5
    min_margin: float = 0.15
    spacing: float = 3.0
    verification: VerificationOptions | None = None
    sightings: int = 3
