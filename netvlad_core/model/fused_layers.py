"""The same backbone with fewer passes over a GPU's memory, whose rate bounds the first layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from netvlad_core.model.gpu_pooling import MaxPool, can_replace

# cuDNN's kernels for channels last take these at a time; fewer are several times as slow.
_FEWEST_CHANNELS = 8


def fuse_layers(backbone: nn.Module) -> nn.Module:
    """A copy for inference with batch normalisation and ReLU in the convolutions before them, and MaxPool.

    A backbone without such layers comes back as it is.
    """
    if not any(isinstance(module, nn.BatchNorm2d | nn.ReLU) for module in backbone.modules()):
        return backbone
    fused = _with_folded_norms(backbone)
    for node in fused.graph.nodes:
        layer = _layer(fused, node)
        if isinstance(layer, nn.MaxPool2d) and can_replace(layer):
            _replace(fused, node, MaxPool(layer))
        elif isinstance(layer, nn.ReLU):
            convolution = _convolution_before(fused, node)
            if convolution is not None and _is_plain(convolution):
                _merge(fused, node, _ConvolutionReLU(convolution))
    return _finished(fused)


def fold_batch_norms(backbone: nn.Module) -> nn.Module:
    """A copy for inference with batch normalisation in the convolutions before it.

    A backbone without it comes back as it is.
    """
    has_any = any(isinstance(module, nn.BatchNorm2d) for module in backbone.modules())
    return _finished(_with_folded_norms(backbone)) if has_any else backbone


def _with_folded_norms(backbone: nn.Module) -> fx.GraphModule:
    fused = fx.GraphModule(backbone, _Tracer().trace(backbone))
    for node in fused.graph.nodes:
        layer, convolution = _layer(fused, node), _convolution_before(fused, node)
        if isinstance(layer, nn.BatchNorm2d) and convolution is not None:
            _merge(fused, node, fuse_conv_bn_eval(convolution, layer))
    return fused


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.Conv2d) or super().is_leaf_module(m, module_qualified_name)


def _layer(fused: fx.GraphModule, node: Any) -> nn.Module | None:
    is_layer = isinstance(node, fx.Node) and node.op == "call_module"
    return fused.get_submodule(str(node.target)) if is_layer else None


def _convolution_before(fused: fx.GraphModule, node: fx.Node) -> nn.Conv2d | None:
    """The convolution whose result only this node reads."""
    before: Any = node.args[0] if node.args else None
    layer = _layer(fused, before)
    return layer if isinstance(layer, nn.Conv2d) and len(before.users) == 1 else None


def _merge(fused: fx.GraphModule, node: fx.Node, layer: nn.Module) -> None:
    """Let a layer do the work of a node and of the one before it."""
    before: Any = node.args[0]
    _replace(fused, before, layer)
    node.replace_all_uses_with(before)
    fused.graph.erase_node(node)


def _finished(fused: fx.GraphModule) -> nn.Module:
    fused.delete_all_unused_submodules()
    fused.recompile()
    return fused.eval()


def _replace(fused: fx.GraphModule, node: fx.Node, layer: nn.Module) -> None:
    fused.add_submodule(str(node.target), layer)


def _is_plain(convolution: nn.Conv2d) -> bool:
    pads_zeros = convolution.padding_mode == "zeros" and not isinstance(convolution.padding, str)
    # Those that filter each channel by itself are slower so.
    return type(convolution) is nn.Conv2d and convolution.groups == 1 and pads_zeros


class _ConvolutionReLU(nn.Module):
    """A convolution whose result is written once, with bias and ReLU."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self._missing = max(0, _FEWEST_CHANNELS - convolution.in_channels)
        weight = functional.pad(convolution.weight.detach(), (0, 0, 0, 0, 0, self._missing))
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))
        bias = convolution.bias
        self.bias = nn.Parameter(weight.new_zeros(len(weight)) if bias is None else bias.detach())
        self._options: Any = convolution.stride, convolution.padding, convolution.dilation, convolution.groups

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.weight.dtype)
        if self._missing:
            x = functional.pad(x, (0, 0, 0, 0, 0, self._missing))
        run = torch.cudnn_convolution_relu if x.is_cuda else _convolution_relu
        return run(x, self.weight, self.bias, *self._options)


def _convolution_relu(x: Tensor, *options: Any) -> Tensor:
    return functional.conv2d(x, *options).relu()
