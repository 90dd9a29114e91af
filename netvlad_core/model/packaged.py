"""The network that comes with this package: what it learned from, and how well, is in docs/model_card.md."""

from __future__ import annotations

from pathlib import Path

from netvlad_core.model.backbones import DEFAULT_BACKBONE

# A checkpoint of DEFAULT_BACKBONE with 64 clusters, in float16.
PACKAGED_NETWORK = Path(__file__).with_name("weights") / f"{DEFAULT_BACKBONE}_netvlad64.safetensors"
