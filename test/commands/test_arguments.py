"""Settings of the localizer from three places."""

from __future__ import annotations

import argparse
from pathlib import Path

from netvlad_core.cli import _parser
from netvlad_core.commands.arguments import localizer_options


def _options(*arguments: str) -> argparse.Namespace:
    return _parser().parse_args(["localize", "map", "drive", "--output", "x.csv", *arguments])


def test_the_command_line_wins_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    params = tmp_path / "p.yaml"
    params.write_text(
        "/**:\n  ros__parameters: {min_similarity: 0.4, top_k: 3, sequence_filter: true, min_inliers: 50}\n"
    )
    usual, file = localizer_options(_options()), localizer_options(_options("--params", str(params)))
    assert (usual.min_similarity, usual.top_k, usual.verification.needs_features) == (None, 10, True)
    assert (file.min_similarity, file.top_k) == (0.4, 3)
    given = ("--min-similarity", "0.6", "--single-image", "--verify")
    both = localizer_options(_options("--params", str(params), *given))
    assert (both.min_similarity, both.top_k, both.sequence_filter) == (0.6, 3, False)
    assert both.verification is not None
    assert (both.verification.min_inliers, both.verification.needs_features) == (50, False)
    assert localizer_options(_options("--no-verify")).verification is None
    assert (
        localizer_options(_options("--params", str(params), "--min-similarity", "-1")).min_similarity is None
    )
