"""Where published weights live, and how a download of them is checked."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from netvlad_core.download import download
from netvlad_core.errors import CheckpointError, DownloadError
from netvlad_core.files import sha256_of
from netvlad_core.model.backbones import DINOV2

RECORD_FILE = "checksums.json"


@dataclass(frozen=True)
class PublishedFile:
    """One file of weights.

    Attributes
    ----------
    url, licence : address and licence that its publisher documents.
    file : name on this machine.
    backbone : key of the backbone table for ImageNet weights; empty for a whole network to import.
    sha256 : beginning of the checksum, as far as the publisher states it, hexadecimal; empty if it does not.
    """

    url: str
    file: str
    licence: str
    backbone: str = ""
    sha256: str = ""


_HLOC = "https://cvg-data.inf.ethz.ch/hloc/netvlad"
_HLOC_LICENCE = "MIT (the authors' own); its host states none"
_OPENIBL = "https://github.com/yxgeee/OpenIBL/releases/download/v0.1.0-beta"
_PATCH = "https://huggingface.co/TobiasRobotics/Patch-NetVLAD/resolve/main"
_TORCHVISION = "https://download.pytorch.org/models"
_ANYLOC = "https://github.com/AnyLoc/DINO/releases/download/v1"
_DINOV2 = "https://dl.fbaipublicfiles.com/dinov2"
_COSPLACE = "https://github.com/gmberton/CosPlace/releases/download/v1.0"
_EIGENPLACES = "https://github.com/gmberton/EigenPlaces/releases/download/v1.0"
_MEGALOC = "https://huggingface.co/gberton/MegaLoc/resolve/main/model.safetensors"
_SALAD = "https://github.com/serizba/salad/releases/download/v1.0.0/dino_salad.ckpt"
_BOQ = "https://github.com/amaralibey/Bag-of-Queries/releases/download/v1.0"


def _published(url: str, licence: str, backbone: str = "", sha256: str = "") -> PublishedFile:
    return PublishedFile(url, url.rpartition("/")[2], licence, backbone, sha256)


PUBLISHED = {
    "hloc-pitts30k": _published(f"{_HLOC}/Pitts30K_struct.mat", _HLOC_LICENCE),
    "hloc-tokyotm": _published(f"{_HLOC}/TokyoTM_struct.mat", _HLOC_LICENCE),
    "openibl": PublishedFile(f"{_OPENIBL}/vgg16_netvlad.pth", "openibl_vgg16_netvlad.pth", "MIT"),
    **{
        f"patch-netvlad-{training}-{size}": _published(f"{_PATCH}/{training}_WPCA{size}.pth.tar", "MIT")
        for training in ("mapillary", "pitts")
        for size in (128, 512, 4096)
    },
    **{
        f"cosplace-{backbone.lower()}-{size}": _published(
            f"{_COSPLACE}/{backbone}_{size}_cosplace.pth", "MIT"
        )
        for backbone, sizes in (
            ("VGG16", (64, 128, 256, 512)),
            ("ResNet18", (32, 64, 128, 256, 512)),
            ("ResNet50", (32, 64, 128, 256, 512, 1024, 2048)),
            ("ResNet101", (32, 64, 128, 256, 512, 1024, 2048)),
            ("ResNet152", (32, 64, 128, 256, 512, 1024, 2048)),
        )
        for size in sizes
    },
    **{
        f"eigenplaces-{backbone.lower()}-{size}": _published(
            f"{_EIGENPLACES}/{backbone}_{size}_eigenplaces.pth", "MIT"
        )
        for backbone, sizes in (
            ("VGG16", (512,)),
            ("ResNet18", (256, 512)),
            ("ResNet50", (128, 256, 512, 1024, 2048)),
            ("ResNet101", (128, 256, 512, 1024, 2048)),
        )
        for size in sizes
    },
    "megaloc": PublishedFile(_MEGALOC, "megaloc.safetensors", "MIT"),
    "salad": _published(_SALAD, "GPL-3.0"),
    "boq-resnet50": PublishedFile(f"{_BOQ}/resnet50_16384.pth", "boq_resnet50_16384.pth", "MIT"),
    "boq-dinov2": PublishedFile(f"{_BOQ}/dinov2_12288.pth", "boq_dinov2_12288.pth", "MIT"),
    # The end of these names is the beginning of the checksum, as torch.hub checks it.
    **{
        backbone: _published(f"{_TORCHVISION}/{file}-{start}.pth", "BSD-3-Clause", backbone, start)
        for backbone, file, start in (
            ("vgg16", "vgg16", "397923af"),
            ("alexnet", "alexnet-owt", "7be5be79"),
            ("resnet18", "resnet18", "f37072fd"),
            ("resnet50", "resnet50", "0676ba61"),
            ("mobilenet_v3", "mobilenet_v3_large", "8738ca79"),
        )
    },
    **{model: _published(f"{_DINOV2}/{model}/{model}_pretrain.pth", "Apache-2.0", model) for model in DINOV2},
    **{
        f"anyloc-{domain}": _published(
            f"{_ANYLOC}/dinov2_vitg14_l31_value_c32_{domain}_c_centers.pt", "BSD-3-Clause"
        )
        for domain in ("indoor", "urban", "aerial", "structured", "unstructured", "global")
    },
}
# Google Drive gives large files only to browsers.
BY_HAND = {
    "Nanne/pytorch-NetVlad": "https://github.com/Nanne/pytorch-NetVlad",
    "the deep-VG benchmark": "https://github.com/gmberton/deep-visual-geo-localization-benchmark",
    "MixVPR": "https://github.com/amaralibey/MixVPR",
    "CliqueMining": "https://github.com/serizba/cliquemining",
}


def default_folder() -> Path:
    """Folder of downloads: $XDG_CACHE_HOME/netvlad_ros, or ~/.cache/netvlad_ros."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "netvlad_ros"


def fetch(published: PublishedFile, folder: Path, progress: bool = True) -> Path:
    """The file on this machine, downloaded if it is not there, and checked in any case.

    If the publisher states no checksum, that of the first file is written down in RECORD_FILE, and later ones
    are held to it.

    Raises
    ------
    DownloadError
        If it cannot be fetched; says what to do by hand.
    CheckpointError
        If it is not the file that was published, or that was fetched the first time; it is kept aside.
    """
    path = folder / published.file
    if not path.is_file():
        try:
            download(published.url, path, progress)
        except DownloadError as error:
            raise DownloadError(
                f"{error}; without internet: fetch it elsewhere, put it here as {path} and call again"
            ) from error
    _check(path, published, folder / RECORD_FILE)
    return path


def _check(path: Path, published: PublishedFile, record_path: Path) -> None:
    found, expected = sha256_of(path), published.sha256
    source, remedy = "its publisher states", "download it again"
    if not expected:
        record = _read_record(record_path)
        if published.url not in record:
            record_path.write_text(json.dumps({**record, published.url: found}, indent=2) + "\n")
            return
        expected, source = record[published.url], "the first download had"
        remedy = f"if {published.url} was renewed on purpose, take its line out of {record_path}"
    if not found.startswith(expected):
        aside = path.with_name(f"{path.name}.refused")
        path.rename(aside)
        raise CheckpointError(
            f"{path} has the sha256 {found}, but {source} {expected}; it is kept as {aside.name}: {remedy}"
        )


def _read_record(path: Path) -> dict[str, str]:
    try:
        record = json.loads(path.read_text()) if path.is_file() else {}
    except ValueError as error:
        raise CheckpointError(
            f"{path}, with the checksums of earlier downloads, is damaged: {error}"
        ) from error
    if not isinstance(record, dict):
        raise CheckpointError(f"{path} holds no checksums of earlier downloads")
    return record
