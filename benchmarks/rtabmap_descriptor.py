"""Time of RTAB-Map's script for a 640x480 image, against the extractor that it uses, and their difference.

Both describe the same pictures in turns; the script gets them as RTAB-Map hands them over, as signed bytes of
a BGR image, and does what is around the network. NETVLAD_WEIGHTS names another network, as for RTAB-Map.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

import numpy as np

from benchmarks._measure import all_seconds, parser, print_conditions, print_table
from netvlad_core import Extractor
from netvlad_core.model.backbones import network_file

_SCRIPT = Path(__file__).resolve().parents[1] / "examples" / "rtabmap" / "netvlad_descriptor.py"
_PICTURES = 8
_WHOLE = 2**20  # dimensions: all


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=50)
    rounds = arguments.parse_args().rounds
    blocks = np.random.default_rng(0).integers(0, 256, (_PICTURES, 24, 32, 3), np.uint8)
    bgr = blocks.repeat(20, axis=1).repeat(20, axis=2)
    extractor = Extractor.load(network_file(os.environ.get("NETVLAD_WEIGHTS", "packaged")))
    sys.path.append(str(_SCRIPT.parent))  # as RTAB-Map finds it
    script = import_module(_SCRIPT.stem)
    script.init(_WHOLE)
    print_conditions()

    def by_script() -> np.ndarray:
        return np.concatenate([script.extract(image.view(np.int8)) for image in bgr])

    def by_extractor() -> np.ndarray:
        return np.concatenate([extractor(image[:, :, ::-1].copy()) for image in bgr])

    difference = np.abs(by_script() - by_extractor()).max()
    times = all_seconds({"script": by_script, "extractor": by_extractor}, rounds)
    rows = [
        [name, extractor.runs_on, *(f"{1e3 * np.quantile(seconds, q) / _PICTURES:.1f}" for q in (0.5, 0.95))]
        for name, seconds in times.items()
    ]
    print_table(["640x480", "engine", "median ms", "95 % ms"], rows)
    print(f"\nlargest difference of an entry: {difference:.1e}")


if __name__ == "__main__":
    main()
