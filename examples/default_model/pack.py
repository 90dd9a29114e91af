"""Put a trained network into the package, in float16: `python -m examples.default_model.pack CHECKPOINT`."""

from __future__ import annotations

import argparse
from pathlib import Path

from netvlad_core.model.checkpoints import load_checkpoint, save_checkpoint
from netvlad_core.model.packaged import PACKAGED_NETWORK


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    network = load_checkpoint(parser.parse_args().checkpoint)
    model_id = save_checkpoint(network, PACKAGED_NETWORK, is_half=True)
    print(f"{PACKAGED_NETWORK}: {PACKAGED_NETWORK.stat().st_size / 1e6:.1f} MB, model {model_id}")


if __name__ == "__main__":
    main()
