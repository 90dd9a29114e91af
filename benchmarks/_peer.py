"""One network in a process of its own: that of an original project by its own code, or ours.

`benchmarks.peers` starts it as `python -m benchmarks._peer FD` and talks through the pipe FD. The code of a
project is imported from the user's folder and run as it is. What it imports without need to describe an
image may be absent: a stand-in takes the place, which fails as soon as it is used.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from itertools import accumulate
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks._later_peers import LATER_PROJECTS
from benchmarks._measure import peak_megabytes
from benchmarks._peer_project import Describe, Project, load, save

CLUSTERS = 64
_HLOC_NAME = "VGG16-NetVLAD-Pitts30K"
_HLOC_MEAN = (123.68, 116.779, 103.939)


@dataclass(frozen=True)
class Task:
    """Work for one process.

    Attributes
    ----------
    project : key of PROJECTS, or "ours".
    folder : the project's code; for "ours" the checkpoint.
    options : what tells the networks of one project apart; for "ours" engine and precision.
    device : a device of torch.
    writes : whether to write random weights and end, or to open them and describe images.
    """

    project: str
    folder: Path
    options: Mapping[str, Any]
    device: str
    writes: bool = False


# hloc: NetVLAD by MATLAB's weights.


def _write_hloc(options: Mapping[str, Any]) -> Path:
    from scipy.io import savemat

    backbone = _vgg16()
    assignment, centroids = _randomised(backbone, 512)
    layers = np.empty(34, object)
    for number in range(len(layers)):
        layers[number] = {"type": "other"}
    for number, layer in enumerate(backbone):
        if isinstance(layer, nn.Conv2d):
            weight, bias = layer.parameters()
            layers[number] = _matlab(weight.permute(2, 3, 1, 0), bias[:, None])
    layers[30] = _matlab(assignment.T, -centroids.T)
    layers[33] = _matlab(torch.randn(1, 1, CLUSTERS * 512, 4096), 0.1 * torch.randn(4096, 1))
    average = np.broadcast_to(np.array(_HLOC_MEAN, np.float32), (224, 224, 3))
    path = Path("hub", "netvlad", f"{_HLOC_NAME}.mat")  # where hloc keeps it below TORCH_HOME
    path.parent.mkdir(parents=True)
    savemat(path, {"net": {"layers": layers, "meta": {"normalization": {"averageImage": average}}}})
    return path


def _matlab(*weights: Tensor) -> dict[str, Any]:
    cell = np.empty(len(weights), object)
    for number, weight in enumerate(weights):
        cell[number] = weight.detach().numpy()
    return {"type": "conv", "weights": cell}


def _read_hloc(options: Mapping[str, Any], device: str) -> Describe:
    import cv2

    model = import_module("hloc.extractors.netvlad").NetVLAD({"model_name": _HLOC_NAME}).eval().to(device)

    def describe(image: np.ndarray) -> np.ndarray:
        image, longer = image.astype(np.float32), max(image.shape[:2])
        if longer > 1024:
            height, width = (round(side * 1024 / longer) for side in image.shape[:2])
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        inputs = torch.from_numpy(image.transpose(2, 0, 1) / 255.0)[None].to(device)
        return model({"image": inputs})["global_descriptor"][0].cpu().numpy()

    return describe


# Nanne/pytorch-NetVlad, whose main program builds the model.


def _nanne(options: Mapping[str, Any]) -> nn.Module:
    model = nn.Module()
    model.encoder = _vgg16()
    model.pool = import_module("netvlad").NetVLAD(CLUSTERS, 512, vladv2=options["bias"])
    return model


def _write_nanne(options: Mapping[str, Any]) -> Path:
    model: Any = _nanne(options)
    return save("state_dict", _randomise(model, model.encoder, model.pool).state_dict())


def _read_nanne(options: Mapping[str, Any], device: str) -> Describe:
    from torchvision import transforms

    model = load(_nanne(options), "state_dict", device)
    prepare = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    )
    return lambda image: model.pool(model.encoder(prepare(image)[None].to(device)))[0].cpu().numpy()


# Patch-NetVLAD: its global descriptor.


def _patch(options: Mapping[str, Any]) -> nn.Module:
    from configparser import ConfigParser

    config = ConfigParser()
    config["global_params"] = {
        "pooling": "netvlad", "num_clusters": str(CLUSTERS), "vladv2": "false", "num_pcs": options["numbers"],
    }  # fmt: skip
    models = import_module("patchnetvlad.models.models_generic")
    return models.get_model(_vgg16(), 512, config["global_params"], options["numbers"] != "0")


def _write_patch(options: Mapping[str, Any]) -> Path:
    beside = {"not_improved": 0} if options["numbers"] == "0" else {"num_pcs": options["numbers"]}
    model: Any = _patch(options)
    return save("state_dict", _randomise(model, model.encoder, model.pool).state_dict(), **beside)


def _read_patch(options: Mapping[str, Any], device: str) -> Describe:
    from PIL import Image

    models = import_module("patchnetvlad.models.models_generic")
    prepare = import_module("patchnetvlad.tools.datasets").input_transform()
    model = load(_patch(options), "state_dict", device)

    def describe(image: np.ndarray) -> np.ndarray:
        vlad = model.pool(model.encoder(prepare(Image.fromarray(image))[None].to(device)))
        return (vlad if options["numbers"] == "0" else models.get_pca_encoding(model, vlad))[0].cpu().numpy()

    return describe


# The deep-VG benchmark. It takes weights of Places for its backbone from a file, if that is there already.


def _vprbench(options: Mapping[str, Any]) -> nn.Module:
    from torchvision import models

    name = options["backbone"].removesuffix("conv4")
    pretrained = Path("data", "pretrained_nets", f"{name}_places.pth")
    if not pretrained.exists():
        pretrained.parent.mkdir(parents=True)
        torch.save(getattr(models, name)(num_classes=365).state_dict(), pretrained)
    arguments = SimpleNamespace(
        backbone=options["backbone"], pretrain="places", aggregation="netvlad", netvlad_clusters=CLUSTERS,
        fc_output_dim=None,
    )  # fmt: skip
    return import_module("model.network").GeoLocalizationNet(arguments)


def _write_vprbench(options: Mapping[str, Any]) -> Path:
    model: Any = _vprbench(options)
    model = nn.DataParallel(_randomise(model, model.backbone, model.aggregation))  # as it is trained
    return save("model_state_dict", model.state_dict())


def _read_vprbench(options: Mapping[str, Any], device: str) -> Describe:
    from PIL import Image
    from torchvision.transforms.functional import resize

    prepare = import_module("datasets_ws").base_transform
    model = nn.DataParallel(_vprbench(options))
    model = load(model, "model_state_dict", device).module

    def describe(image: np.ndarray) -> np.ndarray:
        inputs = resize(prepare(Image.fromarray(image)), [480, 640])
        return model(inputs[None].to(device))[0].cpu().numpy()

    return describe


PROJECTS = LATER_PROJECTS | {
    "hloc": Project(_write_hloc, _read_hloc),
    "nanne": Project(_write_nanne, _read_nanne, ("sklearn.neighbors",)),
    "patch": Project(_write_patch, _read_patch, ("sklearn.neighbors", "faiss")),
    "vprbench": Project(
        _write_vprbench, _read_vprbench,
        ("sklearn.neighbors", "faiss", "transformers", "google_drive_downloader", "timm.models.registry"),
    ),
}  # fmt: skip


def _read_ours(task: Task) -> Describe:
    from netvlad_core.model.extractor import Extractor

    extractor = Extractor.load(task.folder, task.device, **task.options)
    return lambda image: extractor(image)[0]


def _vgg16() -> nn.Sequential:
    from torchvision import models

    return nn.Sequential(*list(models.vgg16().features.children())[:-2])


@torch.no_grad()
def _randomised(backbone: Any, channels: int) -> tuple[Tensor, Tensor]:
    """Make a fresh backbone tell images apart; gives assignment and centroids (K, D) to go with it.

    Its biases are random and its statistics are those of a random picture. The centroids are local
    descriptors of that picture, and the assignment is as sharp as after training.
    """
    for layer in backbone.modules():
        if isinstance(getattr(layer, "bias", None), nn.Parameter):
            layer.bias.normal_(std=0.1)
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    coarse = torch.randn(1, 3, 60, 80)
    picture = nn.functional.interpolate(coarse, size=(480, 640), mode="bicubic")
    backbone.train()(picture)
    features = nn.functional.normalize(backbone.eval()(picture)[0].flatten(1).T, dim=1)
    centroids = features[torch.randperm(len(features))[:CLUSTERS]]
    first, second = (features @ centroids.T).topk(2, dim=1).values.T
    assignment = (np.log(100) / (first - second).mean()) * centroids
    assert centroids.shape == (CLUSTERS, channels)
    return assignment, 0.9 * centroids


def _randomise(model: Any, backbone: nn.Module, layer: Any) -> Any:
    """Give a model of a project random weights; `layer` is its NetVLAD."""
    with torch.no_grad():
        assignment, centroids = _randomised(backbone, layer.centroids.shape[1])
        layer.conv.weight.copy_(assignment[:, :, None, None])
        layer.centroids.copy_(centroids)
    return model


@contextmanager
def stand_ins(names: tuple[str, ...]) -> Iterator[list[str]]:
    """Let modules that are not installed be imported; yields their names. They hold nothing that works."""
    absent = [name for name in names if not find_spec(name.partition(".")[0])]
    modules: dict[str, ModuleType] = {}
    for name in absent:
        for part in accumulate(name.split("."), "{}.{}".format):
            modules[part] = ModuleType(part)
            modules[part].__getattr__ = lambda wanted: _Absent  # type: ignore[method-assign]
    sys.modules.update(modules)
    try:
        yield absent
    finally:
        for name in modules:
            sys.modules.pop(name, None)


class _Absent:
    """A class or decorator of a module that is not installed: what it makes cannot be used."""

    def __init__(self, *arguments: object, **options: object) -> None:
        pass

    def __call__(self, *arguments: object, **options: object) -> Any:
        raise ImportError("a module that is not installed is needed after all")


def serve(connection: Connection) -> None:
    """Receive a Task; send the names of stand-ins and what the task gives, or a sentence on what is missing.

    That is the path of the weights, or None. Then follow, until the pipe is closed, for each image received
    its descriptor and the seconds it took, and for None the peak memory in MB, with the loading and without.
    """
    task: Task = connection.recv()
    torch.manual_seed(0)
    if task.project == "ours":
        describe, absent = _read_ours(task), []
    else:
        from netvlad_core.model.backbones import torchvision_model

        torchvision_model("squeezenet1_1")  # beside another torch its import needs the help of this function
        sys.path.insert(0, str(task.folder))
        project = PROJECTS[task.project]
        try:
            with stand_ins(project.unused) as absent:
                if task.writes:
                    connection.send((absent, project.write(task.options).resolve()))
                    return
                describe = project.read(task.options, task.device)
        except ImportError as error:
            connection.send(f"cannot be imported from {task.folder}: {error}")
            return
    connection.send((absent, None))
    loading = peak_megabytes()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    with torch.no_grad(), suppress(EOFError):
        while True:
            image = connection.recv()
            if image is None:
                connection.send((max(loading, peak_megabytes()), peak_megabytes()))
                continue
            started = perf_counter()
            descriptor = describe(image)
            connection.send((descriptor, perf_counter() - started))


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
