"""Write a network as an ONNX file, and compare it with torch.

SOURCE gives the images on which int8 is calibrated, and real ones for the comparison. Other commands find a
file beside its checkpoint or in its map by --precision, and take it on machines without torch.

    netvlad export maps/campus drive/ --precision int8
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from netvlad_core.commands import arguments, types
from netvlad_core.files import check_outputs
from netvlad_core.model.spec import ONNX_PRECISIONS

if TYPE_CHECKING:
    import numpy as np


def add_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    text = "checkpoint, or map folder for the network in it"
    add("weights", type=types.path, metavar="WEIGHTS", help=text)
    arguments.add_source(command, is_optional=True)
    text = "file to write (default: beside the weights)"
    add("--output", type=types.output_file, metavar="FILE", help=text)
    text = f"{', '.join(ONNX_PRECISIONS)} (default: %(default)s)"
    add("--precision", choices=ONNX_PRECISIONS, default="float32", metavar="P", help=text)


def run(options: argparse.Namespace) -> None:
    from netvlad_core.mapping.map_header import HEADER_FILE, MapHeader
    from netvlad_core.model.checkpoints import load_checkpoint
    from netvlad_core.model.export import export
    from netvlad_core.model.onnx_engine import FORMAT
    from netvlad_core.model.open_engine import variant_path

    weights = arguments.network_path(options.weights)
    output = options.output or variant_path(weights, options.precision)
    header = output.with_name(HEADER_FILE)
    if header.is_file() and output.name in MapHeader.read(header).files:
        print(f"{output} is a part of the map already")
        return
    check_outputs({output: FORMAT}, (weights, options.source, options.trajectory))
    network = load_checkpoint(weights)
    agreement = export(network, output, options.precision, _images(options) if options.source else ())
    size = output.stat().st_size / 1e6
    print(f"{output}: {options.precision}, {size:.1f} MB, model {network.fingerprint()}")
    print(
        f"against torch in float32, {agreement.images} images of 3 sizes in batches of 1 to 3: similarity at "
        f"least {agreement.similarity:.6f}, entries differ by at most {agreement.difference:.1e}"
    )


def _images(options: argparse.Namespace) -> Iterator[np.ndarray]:
    from netvlad_core.mapping.keyframes import KEEP_ALL, sample_frames
    from netvlad_core.model.export import CALIBRATION_IMAGES

    source = arguments.open_source(options, poses_required=False)
    return sample_frames(source, KEEP_ALL, not options.quiet, CALIBRATION_IMAGES, "reading")()
