"""Put a trained network into the package, averaged with the one that its training began with.

    python -m tools.default_model.pack runs/default/run/best.safetensors

What training has taught about the lights and places that it saw costs some of what ImageNet knew of others;
the average of the two networks' weights keeps most of both (Wortsman et al., Robust fine-tuning of zero-shot
models, CVPR 2022). The package gets it as a checkpoint in float16 and as an ONNX file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from netvlad_core.model.backbones import PACKAGED_NETWORK
from netvlad_core.model.checkpoints import load_checkpoint, save_checkpoint
from netvlad_core.model.export import export
from netvlad_core.model.network import PlaceNetwork
from netvlad_core.model.open_engine import variant_path


def average(initial: PlaceNetwork, trained: PlaceNetwork, share: float) -> PlaceNetwork:
    """The network between two of one description; `share` is that of the trained one."""
    before, after = initial.state_dict(), trained.state_dict()
    state = {
        key: value.lerp(after[key], share) if value.is_floating_point() else after[key]
        for key, value in before.items()
    }
    trained.load_state_dict(state)
    return trained


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path, help="beside its initial.safetensors")
    parser.add_argument(
        "--share", type=float, default=0.6, help="of the trained weights (default: %(default)s)"
    )
    options = parser.parse_args()
    initial = load_checkpoint(options.checkpoint.with_name("initial.safetensors"))
    network = average(initial, load_checkpoint(options.checkpoint), options.share)
    model_id = save_checkpoint(network, PACKAGED_NETWORK, is_half=True)
    export(network, variant_path(PACKAGED_NETWORK, "float32"))
    print(f"{PACKAGED_NETWORK}: {PACKAGED_NETWORK.stat().st_size / 1e6:.1f} MB, model {model_id}")


if __name__ == "__main__":
    main()
