"""Projects after NetVLAD: their networks with random weights, their own files and preprocessing.

What a project would download has random weights instead; DINOv2 comes from a folder with its own code.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks._peer_project import Describe, Project, load, save

Options = Mapping[str, Any]
Prepare = Callable[[np.ndarray], Tensor]  # image (H, W, 3) uint8 RGB -> (3, h, w), normalised
Unused = tuple[str, ...]

_CENTRES = Path("c_centers.pt")
_DINOV2 = Path("dinov2_pretrain.pth")
_CLUSTERS = 32


def _project(
    build: Callable[[Options], nn.Module], key: str = "", prepare: Prepare | None = None, unused: Unused = ()
) -> Project:
    """A project whose network is built from options, and takes images as `prepare` makes them."""

    def write(options: Options) -> Path:
        return save(key, _randomised(build(options)).state_dict())

    def read(options: Options, device: str) -> Describe:
        model = load(build(options), key, device)

        def describe(image: np.ndarray) -> np.ndarray:
            found = model((prepare or _normalised)(image)[None].to(device))
            return (found[0] if isinstance(found, tuple) else found)[0].cpu().numpy()

        return describe

    return Project(write, read, unused)


def _resized(side: int) -> Prepare:
    """A Pillow image scaled to a square, then made a tensor."""

    def prepare(image: np.ndarray) -> Tensor:
        from PIL import Image
        from torchvision import transforms

        return _normalised(np.asarray(transforms.Resize((side, side))(Image.fromarray(image))))

    return prepare


def _resized_tensor(side: int) -> Prepare:
    """A tensor scaled to a square by cubic pieces, then normalised."""

    def prepare(image: np.ndarray) -> Tensor:
        from torchvision import transforms

        kind = transforms.InterpolationMode.BICUBIC
        tensor = transforms.Resize((side, side), kind, antialias=True)(transforms.ToTensor()(image.copy()))
        return _normalise(tensor)

    return prepare


def _normalised(image: np.ndarray) -> Tensor:
    from torchvision import transforms

    return _normalise(transforms.ToTensor()(image.copy()))


def _normalise(tensor: Tensor) -> Tensor:
    from torchvision import transforms

    return transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))(tensor)


@torch.no_grad()
def _randomised(model: Any) -> Any:
    """Biases and scales that matter, and batch statistics of a random picture."""
    for tensor in model.parameters():
        if tensor.ndim <= 1:
            tensor += 0.1 * torch.randn_like(tensor)
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    if norms:
        for layer in norms:
            layer.momentum = 1.0
        picture = nn.functional.interpolate(torch.randn(2, 3, 40, 40), size=(320, 320), mode="bicubic")
        model.train()(picture)
    return model.eval()


def _dinov2(options: Options, name: str) -> Any:
    """DINOv2 by its own code, in the place of a download."""
    if options["dinov2"] is None:
        raise ImportError("DINOv2's own code is needed: name its folder with --dinov2")
    sys.path.append(str(options["dinov2"]))
    return getattr(import_module("dinov2.hub.backbones"), name)(pretrained=False)


def _redirect(load_model: Callable[[str], Any]) -> None:
    """Have what a project asks torch.hub for made by a function of the model's name."""
    hub: Any = torch.hub
    hub.load = lambda repository, name, **_: load_model(name)


def _untrained(name: str) -> Any:
    import torchvision

    return getattr(torchvision.models, name.lower())()


def _cosplace(options: Options) -> nn.Module:
    network: Any = import_module("cosplace_model.cosplace_network")
    network.get_pretrained_torchvision_model = _untrained
    return network.GeoLocalizationNet(options["backbone"], options["dimension"])


def _eigenplaces(options: Options) -> nn.Module:
    network: Any = import_module("eigenplaces_model.eigenplaces_network")
    _redirect(lambda name: nn.Identity())  # weights of CosPlace that its training begins with
    return network.GeoLocalizationNet_(options["backbone"], options["dimension"])


def _model(backbone: nn.Module, aggregator: nn.Module) -> nn.Module:
    """The two under the names that the projects' checkpoints have; their own class wants Lightning."""
    model: Any = nn.Sequential()
    model.backbone, model.aggregator = backbone, aggregator
    return model


def _mixvpr(options: Options) -> nn.Module:
    helper = import_module("models.helper")
    backbone = helper.get_backbone("resnet50", pretrained=False, layers_to_crop=[4])
    settings = {
        "in_channels": 1024, "in_h": 20, "in_w": 20, "out_channels": options["width"], "mix_depth": 4,
        "mlp_ratio": 1, "out_rows": options["rows"],
    }  # fmt: skip
    return _model(backbone, helper.get_aggregator("MixVPR", settings))


def _salad(options: Options) -> nn.Module:
    _redirect(lambda name: _dinov2(options, name))
    helper = import_module("models.helper")
    settings = {"num_trainable_blocks": 4, "return_token": True, "norm_layer": True}
    backbone = helper.get_backbone("dinov2_vitb14", settings)
    layer = {"num_channels": 768, "num_clusters": 64, "cluster_dim": 128, "token_dim": 256}
    return _model(backbone, helper.get_aggregator("SALAD", layer))


def _megaloc(options: Options) -> nn.Module:
    return import_module("megaloc_model").MegaLoc()


def _boq(options: Options) -> nn.Module:
    _redirect(lambda name: _dinov2(options, name))
    hub = import_module("hubconf")
    if options["backbone"] == "dinov2":
        backbone, width = hub.DinoV2(), 384
    else:
        import_module("backbones").ResNet.AVAILABLE_MODELS = {
            "resnet50": lambda weights: _untrained("resnet50")
        }
        backbone, width = hub.ResNet(backbone_name="resnet50", crop_last_block=True), 512
    layer = hub.BoQ(backbone.out_channels, width, num_queries=64, num_layers=2, row_dim=32)
    return hub.VPRModel(backbone, layer)


def _read_boq(options: Options, device: str) -> Describe:
    side = 322 if options["backbone"] == "dinov2" else 384
    return _project(_boq, prepare=_resized_tensor(side)).read(options, device)


# AnyLoc: DINOv2 as it is published, a file of centres, and the steps of its demo.


def _write_anyloc(options: Options) -> Path:
    model = _randomised(_dinov2(options, options["size"]))
    torch.save(model.state_dict(), _DINOV2)
    extract = _anyloc_features(options, model, "cpu")
    coarse = nn.functional.interpolate(torch.randn(1, 3, 30, 40), size=(238, 322), mode="bicubic")
    local = extract(coarse)[0]
    torch.save(0.9 * local[torch.randperm(len(local))[:_CLUSTERS]], _CENTRES)
    return _CENTRES


def _anyloc_features(options: Options, model: nn.Module, device: str) -> Any:
    _redirect(lambda name: model)
    features = import_module("utilities").DinoV2ExtractFeatures
    return features(options["size"], options["layer"], "value", device=device)


def _read_anyloc(options: Options, device: str) -> Describe:
    from torchvision.transforms.functional import center_crop

    model = _dinov2(options, options["size"])
    model.load_state_dict(torch.load(_DINOV2))
    extract = _anyloc_features(options, model, device)
    vlad = import_module("utilities").VLAD(_CLUSTERS, cache_dir=str(Path.cwd()))
    vlad.fit(None)

    def describe(image: np.ndarray) -> np.ndarray:
        height, width = (side // 14 * 14 for side in image.shape[:2])
        cropped = center_crop(_normalised(image), [height, width])[None].to(device)
        return vlad.generate(extract(cropped).cpu().squeeze()).numpy()

    return describe


LATER_PROJECTS = {
    "cosplace": _project(_cosplace),
    "eigenplaces": _project(_eigenplaces),
    "mixvpr": _project(_mixvpr, prepare=_resized(320), unused=("timm", "pytorch_metric_learning")),
    "salad": _project(_salad, prepare=_resized(322), unused=("pytorch_metric_learning",)),
    "cliquemining": _project(_salad, "state_dict", prepare=_resized(322)),
    "megaloc": _project(_megaloc),
    "boq": Project(_project(_boq).write, _read_boq),
    "anyloc": Project(_write_anyloc, _read_anyloc),
}
