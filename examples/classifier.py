"""Train a small image classifier with NetVLAD pooling in an ordinary torch model, and one with an average.

Both pool the feature maps of the same frozen backbone (EfficientNet-Lite0 with ImageNet weights), as
NetVLAD was used for fine-grained classes after the paper. The images are sub-folders of one folder, a class
each. Every fourth image of a class is held out for the test: frames of one video stand on both sides then,
some seconds apart.

example:
  python examples/classifier.py ../shared/data/ietower/processed_frames
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from netvlad_core.data.images import read_image
from netvlad_core.model.backbones import DEFAULT_BACKBONE, backbone_named
from netvlad_core.model.checkpoints import load_pretrained
from netvlad_core.model.fitting import cluster
from netvlad_core.model.netvlad import NetVLAD
from netvlad_core.model.torch_engine import preprocess

_HELD_OUT = 4  # one image in four
_SAMPLES = 20_000
_LEARNING_RATE = 1e-3
_BATCH = 32
# Height and width in pixels: one size for all, so that feature maps can be stacked.
_SIZE = (160, 208)


class Classifier(nn.Module):
    """Feature maps (B, D, h, w) -> scores (B, classes); any layer that pools will do."""

    def __init__(self, pooling: nn.Module, pooled_channels: int, classes: int) -> None:
        super().__init__()
        self.pooling = pooling
        self.scores = nn.Sequential(nn.BatchNorm1d(pooled_channels), nn.Linear(pooled_channels, classes))

    def forward(self, features: Tensor) -> Tensor:
        return self.scores(self.pooling(features))


class AveragePooling(nn.Module):
    """The usual baseline: mean over all locations, L2-normalised."""

    def forward(self, features: Tensor) -> Tensor:
        return functional.normalize(features.mean(dim=(2, 3)))


def netvlad_pooling(features: Tensor, clusters: int) -> NetVLAD:
    """The layer with its clusters on the local descriptors of these feature maps (N, D, h, w)."""
    layer = NetVLAD(clusters, features.shape[1])
    descriptors = functional.normalize(features.movedim(1, -1).flatten(0, 2), dim=1)
    samples = descriptors[torch.randperm(len(descriptors))[:_SAMPLES]]
    layer.initialize(cluster(samples, clusters, seed=0), samples)
    return layer


@torch.inference_mode()
def describe(paths: list[Path]) -> Tensor:
    """Feature maps (N, D, h, w) of images, which are computed once since the backbone is frozen."""
    backbone = load_pretrained(DEFAULT_BACKBONE)
    preprocessing = replace(backbone_named(DEFAULT_BACKBONE).preprocessing, resize="exact", size=_SIZE)
    device = torch.device("cpu")
    bar = tqdm(paths, "images", disable=None)
    return torch.cat([backbone(preprocess([read_image(path)], preprocessing, device)) for path in bar])


def accuracy(model: nn.Module, features: Tensor, labels: Tensor) -> float:
    model.eval()
    with torch.inference_mode():
        return float((model(features).argmax(dim=1) == labels).float().mean())


def train(model: nn.Module, features: Tensor, labels: Tensor, epochs: int) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), _LEARNING_RATE)
    model.train()
    for _ in tqdm(range(epochs), "epochs", disable=None):
        for rows in torch.randperm(len(labels)).split(_BATCH):
            if len(rows) == 1:  # batch normalisation needs two
                continue
            optimizer.zero_grad()
            functional.cross_entropy(model(features[rows]), labels[rows]).backward()
            optimizer.step()


def read_classes(folder: Path, most: int) -> tuple[list[str], list[Path], list[int], list[bool]]:
    """Names of the classes; of each image its path, its label and whether it is held out."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    paths, labels, held_out = [], [], []
    for label, path in enumerate(classes):
        images = sorted(file for file in path.iterdir() if file.suffix.lower() in (".jpg", ".jpeg", ".png"))
        images = images[:: max(1, -(-len(images) // most))]
        paths += images
        labels += [label] * len(images)
        held_out += [index % _HELD_OUT == _HELD_OUT - 1 for index in range(len(images))]
    if len(classes) < 2 or not any(held_out):
        raise SystemExit(f"expected two sub-folders of images or more in {folder}, four images each at least")
    return [path.name for path in classes], paths, labels, held_out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder with a sub-folder of images for each class")
    parser.add_argument(
        "--images", type=int, default=200, help="of each class at most (default: %(default)s)"
    )
    parser.add_argument("--epochs", type=int, default=20, help="(default: %(default)s)")
    parser.add_argument("--clusters", type=int, default=16, help="of NetVLAD (default: %(default)s)")
    options = parser.parse_args()

    classes, paths, numbers, held_out = read_classes(options.folder, options.images)
    features, labels, tested = describe(paths).clone(), torch.tensor(numbers), torch.tensor(held_out)
    print(
        f"{len(classes)} classes, {int((~tested).sum())} images to train on, {int(tested.sum())} to test on"
    )
    torch.manual_seed(0)
    channels = features.shape[1]
    models = {
        "average": Classifier(AveragePooling(), channels, len(classes)),
        "NetVLAD": Classifier(
            netvlad_pooling(features[~tested], options.clusters), options.clusters * channels, len(classes)
        ),
    }
    for name, model in models.items():
        train(model, features[~tested], labels[~tested], options.epochs)
        share = accuracy(model, features[tested], labels[tested])
        print(f"{name} pooling: {100 * share:.1f} % of the test images are right")


if __name__ == "__main__":
    main()
