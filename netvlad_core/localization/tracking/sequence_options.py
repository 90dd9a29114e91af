"""Options of the sequence filter: how evidence becomes belief."""

from __future__ import annotations

from dataclasses import dataclass

from netvlad_core.data.radii import POSITIVE_WITHIN
from netvlad_core.settings import setting


@dataclass(frozen=True)
class SequenceOptions:
    """How evidence becomes belief; defaults chosen on drives in changed light and unmapped streets.

    `python -m benchmarks.filter_options` measures what the sources say was tried: two corridors and a loop,
    with odometry and without, in maps that lack a part of them.
    """

    min_belief: float = setting(
        0.9,
        "With the sequence filter: probability of a place from which the state is LOCALIZED.",
        0.05,
        1.0,
        name="min_belief",
        source="0.5 to 0.99 tried: at 0.8 the corridor of 111 images has 3 wrong poses, at 0.5 also poses "
        "elsewhere; 0.95 is right less often (65 instead of 72 %)",
    )
    radius: float = setting(
        POSITIVE_WITHIN,
        "Metres that count as the surroundings of a place, at least 3 and at most 10 spacings of the map.",
        0.1,
        1000.0,
        source="the paper's; 2.5 to 40 tried: 20 gives more right poses, 40 gives 19 wrong ones. In maps of "
        "10 m spacing 2 spacings lose a tenth of the poses, 4 and more give poses in another town",
    )
    sharpness: float = setting(
        0.6,
        "Log-likelihood of a place per standard deviation of similarity, up to highest_score.",
        0.0,
        10.0,
        source="0.15 to 2.4 tried: below 0.3 half of the poses go; from 1.2 on some of 111 are wrong",
    )
    highest_score: float = setting(
        6.0,
        "Standard deviations of similarity beyond which a place gains nothing.",
        0.0,
        100.0,
        source="1.5 to 24 tried: from 6 on nothing changes there; below 3 places are found later",
    )
    habit: float = setting(
        20.0,
        "Most images after which half of a place's usual similarity to the drive is subtracted.",
        1.0,
        1e6,
        source="5 to 80 tried: 10 to 40 behave alike; 80 gives poses on the map of another corridor",
    )
    chance: float = setting(
        1.0,
        "Log-odds by which the best place leads over all others on a drive off the map.",
        0.0,
        100.0,
        source="0.25 to 4 tried: up to 2 they behave alike; 4 costs a few right poses",
    )
    lookalike: float = setting(
        24.0,
        "Nats of evidence that a path through look-alike streets reaches off the map.",
        0.0,
        1000.0,
        source="18 to 28 tried: other towns reach 23, at 18 two of them have poses (benchmarks/sparse.py)",
    )
    margin: float = setting(
        0.4,
        "Standard deviations by which the best place must beat the rest of the map, on average.",
        0.0,
        100.0,
        source="0.1 to 1.6 tried: twice as much halves the right poses of the short corridor, half as much "
        "gives more of them and no wrong ones",
    )
    gain: float = setting(
        0.3,
        "Log-odds of being on the map per standard deviation beyond the margin.",
        0.0,
        100.0,
        source="0.075 to 1.2 tried: half as much costs a third of the right poses and more; 1.2 gives poses "
        "on the map of another corridor",
    )
    gap_range: tuple[float, float] = setting(
        (-1.5, 4.0),
        "Bounds of the standard deviations beyond the margin that count.",
        -100.0,
        100.0,
        source="a quarter to four times tried: half to four behave alike; a quarter halves the right poses",
    )
    leave: float = setting(
        0.002,
        "Probability that the robot leaves the map between two images.",
        0.0,
        1.0,
        source="0.0005 to 0.008 tried: they behave alike",
    )
    enter: float = setting(
        0.005,
        "Probability that the robot enters the map between two images.",
        0.0,
        1.0,
        source="0.00125 to 0.02 tried: more gives a few more right poses",
    )
    contradiction: float = setting(
        0.5,
        "No pose if recent images prefer another part of the map by this many standard deviations.",
        0.0,
        100.0,
        source="0.125 to 2 tried: no difference in these drives",
    )
    leak: float = setting(
        0.003,
        "Share of the belief that each image spreads over all places, since the robot may have been carried.",
        0.0,
        1.0,
        source="0.00075 to 0.012 tried: no difference in these drives, in which nobody carries the robot",
    )
    against: float = setting(
        0.1,
        "Prior probability that the robot faces against the heading of the places.",
        0.0,
        1.0,
        source="0.025 to 0.4 tried: no difference in poses of these drives, which follow the map's direction",
    )
    odometry_sigma: float = setting(
        0.1,
        "Standard deviation of odometry, as a share of distance and turn.",
        0.001,
        10.0,
        source="0.025 to 0.4 tried: up to 0.2 they behave alike",
    )
    turn_sigma: float = setting(
        0.3,
        "Radians, standard deviation of the turn between two places.",
        0.001,
        10.0,
        source="0.075 to 1.2 tried: no difference in these drives, which hardly turn",
    )
    speed: float | None = setting(
        None,
        "Speed in m/s without odometry (places per second in a map without poses); 0.0 takes that of the "
        "drive that made the map.",
        0.0,
        100.0,
        none=0.0,
    )
