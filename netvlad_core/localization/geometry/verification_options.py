"""Options of verification by geometry: when it confirms a place, and when it must stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from netvlad_core.settings import setting

# Asked before each step, by several threads, whether less than a share of the time for geometry is used.
HasTime = Callable[[float], bool]


def unbounded(share: float) -> bool:
    """Take all the time it needs."""
    return True


@dataclass(frozen=True)
class VerificationOptions:
    """When geometry confirms a place.

    Attributes
    ----------
    needs_features : whether only maps with local features that have taught a likelihood are verified; if not,
        those with images are, too, which takes ten times as long.
    """

    needs_features: bool = False

    min_inliers: int = setting(
        30,
        "With verification: local features that must agree for a place to be confirmed, in a map without "
        "stored ones.",
        8,
        10_000,
        name="min_inliers",
        source="chosen on the five sets of benchmarks/ladder.py; wrong pairs of real streets reach 34 "
        "inliers, so loop closures take 40",
    )
    min_log_ratio: float = setting(
        5.0,
        "The same in a map with stored features, by the log of the likelihood ratio that it has taught.",
        0.0,
        1000.0,
        source="by design: one pair of strangers of the map in 600 reaches it",
    )
    most_places: int = setting(
        10,
        "Matches that are compared, best first; the others stay behind them.",
        1,
        1000,
        source="a bound of time: each costs some 14 ms, and 39 more if it is new "
        "(benchmarks/verification_speed.py)",
    )
    features: int = setting(
        1000,
        "Largest number of local features found in an image, for a map without stored ones.",
        50,
        100_000,
        source="a bound of time: matching grows with its square; not tuned",
    )


def state_of(options: VerificationOptions | None) -> str:
    """Value of the setting `verification` for options."""
    return "never" if options is None else "auto" if options.needs_features else "always"


def in_state(options: VerificationOptions, state: str) -> VerificationOptions | None:
    """Options for a value of the setting `verification`."""
    return None if state == "never" else replace(options, needs_features=state == "auto")
