"""What a user may choose of the localizer."""

from __future__ import annotations

from dataclasses import dataclass

from netvlad_core.data.radii import POSITIVE_WITHIN
from netvlad_core.localization.geometry.verification_options import VerificationOptions, in_state, state_of
from netvlad_core.localization.tracking.sequence_options import SequenceOptions
from netvlad_core.settings import group, setting


@dataclass(frozen=True)
class LocalizerOptions:
    """Thresholds that turn matches into a state; a file of settings has them by these names.

    ==========================================  =======================================
    `Localizer.locate`, an image by itself      `min_similarity`, `min_agreement`
    `Localizer.track`, an image of a drive      `sequence`
    both                                        `top_k`, `agreement_radius`, `verification`
    nodes and commands, to choose between them  `sequence_filter`
    ==========================================  =======================================

    Examples
    --------
    >>> from netvlad_core import LocalizerOptions
    >>> options = LocalizerOptions(top_k=3, min_similarity=0.6)
    >>> options.sequence.min_belief
    0.9
    """

    top_k: int = setting(
        10, "Matches reported for each image.", 1, 1000, source="as many as verification compares"
    )
    min_similarity: float | None = setting(
        None,
        "For a single image: best similarity below which the state is LOST; -1.0 takes the map's threshold.",
        -1.0,
        1.0,
        none=-1.0,
        source="`similarity_elsewhere` of the map; `netvlad calibrate` proposes another one",
    )
    min_agreement: float = setting(
        0.5,
        "For a single image: share of the matches' weight that must support one pose, else AMBIGUOUS.",
        0.0,
        1.0,
        source="a majority; neighbours were not tried",
    )
    agreement_radius: float = setting(
        POSITIVE_WITHIN,
        "Metres within which two matches support the same pose.",
        0.0,
        1000.0,
        source="the paper's positive radius, which verification takes for `Elsewhere`, too",
    )
    sequence_filter: bool = setting(
        True, "Judge images as a drive, with odometry; false judges each one by itself."
    )
    sequence: SequenceOptions = group("sequence", SequenceOptions())
    verification: VerificationOptions | None = group(
        "geometry",
        VerificationOptions(needs_features=True),
        setting(
            "auto",
            "Compare local features with those of the map; a calibrated camera gives metric poses. auto: if "
            "the map has some and has learned from them; always: else with its images; never: do not.",
            name="verification",
            choices=("auto", "always", "never"),
            formerly=((True, "always"), (False, "never")),
        ),
        state_of,
        in_state,
    )
