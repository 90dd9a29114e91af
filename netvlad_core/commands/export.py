"""`netvlad export`: a network becomes an ONNX file that runs without torch."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from netvlad_core.commands.common import add_source, network_path, open_source, output_file, path
from netvlad_core.commands.outputs import check_outputs
from netvlad_core.model.spec import ONNX_PRECISIONS

if TYPE_CHECKING:
    import numpy as np

SUMMARY = "write a network as an ONNX file, checked against torch"
REMARK = (
    "SOURCE gives the images that int8 is calibrated on, and real ones for the check. Beside its checkpoint "
    "or map, the file is found by --precision and on machines without torch."
)
EXAMPLE = "netvlad export maps/campus drive/ --image-topic /camera/image_raw --precision int8"


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "weights", type=path, metavar="WEIGHTS", help="checkpoint, or map folder for the network in it"
    )
    add_source(command, is_optional=True)
    command.add_argument(
        "--output",
        type=output_file,
        metavar="FILE",
        help="file to write (default: beside the weights)",
    )
    command.add_argument(
        "--precision",
        choices=ONNX_PRECISIONS,
        default="float32",
        metavar="P",
        help=f"{', '.join(ONNX_PRECISIONS)} (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> None:
    from netvlad_core.model.checkpoints import load_checkpoint
    from netvlad_core.model.export import export
    from netvlad_core.model.extractor import variant_path
    from netvlad_core.model.onnx_engine import FORMAT

    weights = network_path(options.weights)
    output = options.output or variant_path(weights, options.precision)
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

    source = open_source(options, poses_required=False)
    return sample_frames(source, KEEP_ALL, not options.quiet, CALIBRATION_IMAGES, "reading")()
