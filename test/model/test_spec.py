"""The description of a network, written and read."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from netvlad_core.errors import CheckpointError
from netvlad_core.model.spec import NetworkSpec

SPEC = NetworkSpec.of_backbone(clusters=4)


def test_description_survives_json() -> None:
    spec = replace(SPEC, assignment_bias=True, intra_normalization=False, whitened_dimension=6)
    assert NetworkSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    "change", [{"surprise": 1}, {"preprocessing": {"mean": [1, 2, 3]}}, {"preprocessing": 7}]
)
def test_description_with_wrong_fields_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match="not readable"):
        NetworkSpec.from_json(json.dumps(json.loads(SPEC.to_json()) | change))


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"backbone": '])
def test_text_that_is_no_description_is_refused(text: str) -> None:
    with pytest.raises(CheckpointError, match="not readable"):
        NetworkSpec.from_json(text)
