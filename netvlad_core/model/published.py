"""Where published weights live, and how a download of them is checked."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from netvlad_core.download import download
from netvlad_core.errors import CheckpointError, DownloadError
from netvlad_core.files import sha256_of

RECORD_FILE = "checksums.json"


@dataclass(frozen=True)
class PublishedFile:
    """One file of weights.

    Attributes
    ----------
    url : address that its publisher documents.
    file : name on this machine.
    licence : licence that its publisher states.
    backbone : key of the backbone table for ImageNet weights; empty for a whole network to import.
    sha256 : as far as the publisher states it, hexadecimal: all of it, the beginning, or nothing.
    """

    url: str
    file: str
    licence: str
    backbone: str = ""
    sha256: str = ""


_PATCH_NETVLAD = "https://huggingface.co/TobiasRobotics/Patch-NetVLAD/resolve/main"
_HLOC = "https://cvg-data.inf.ethz.ch/hloc/netvlad"
_OPENIBL = "https://github.com/yxgeee/OpenIBL/releases/download/v0.1.0-beta"
_TORCHVISION = "https://download.pytorch.org/models"
_DINOV2 = "https://dl.fbaipublicfiles.com/dinov2"
_HLOC_LICENCE = "MIT (the authors' own); its host states none"


def _torchvision(backbone: str, file: str) -> PublishedFile:
    """The end of the file's name is the beginning of its checksum, as torch.hub checks it."""
    start = Path(file).stem.rpartition("-")[2]
    return PublishedFile(f"{_TORCHVISION}/{file}", file, "BSD-3-Clause", backbone, start)


def _dinov2(model: str) -> PublishedFile:
    file = f"{model}_pretrain.pth"
    return PublishedFile(f"{_DINOV2}/{model}/{file}", file, "Apache-2.0", model)


def _patch_netvlad(training: str, dimension: int) -> PublishedFile:
    file = f"{training}_WPCA{dimension}.pth.tar"
    return PublishedFile(f"{_PATCH_NETVLAD}/{file}", file, "MIT")


PUBLISHED = {
    "hloc-pitts30k": PublishedFile(f"{_HLOC}/Pitts30K_struct.mat", "Pitts30K_struct.mat", _HLOC_LICENCE),
    "hloc-tokyotm": PublishedFile(f"{_HLOC}/TokyoTM_struct.mat", "TokyoTM_struct.mat", _HLOC_LICENCE),
    "openibl": PublishedFile(f"{_OPENIBL}/vgg16_netvlad.pth", "openibl_vgg16_netvlad.pth", "MIT"),
    **{
        f"patch-netvlad-{training}-{dimension}": _patch_netvlad(training, dimension)
        for training in ("mapillary", "pitts")
        for dimension in (128, 512, 4096)
    },
    "vgg16": _torchvision("vgg16", "vgg16-397923af.pth"),
    "alexnet": _torchvision("alexnet", "alexnet-owt-7be5be79.pth"),
    "resnet18": _torchvision("resnet18", "resnet18-f37072fd.pth"),
    "resnet50": _torchvision("resnet50", "resnet50-0676ba61.pth"),
    "mobilenet_v3": _torchvision("mobilenet_v3", "mobilenet_v3_large-8738ca79.pth"),
    "dinov2_vits14": _dinov2("dinov2_vits14"),
    "dinov2_vitb14": _dinov2("dinov2_vitb14"),
}
# Google Drive gives large files only to browsers.
BY_HAND = {
    "Nanne/pytorch-NetVlad": "https://github.com/Nanne/pytorch-NetVlad",
    "the deep-VG benchmark": "https://github.com/gmberton/deep-visual-geo-localization-benchmark",
}


def default_folder() -> Path:
    """Where downloads are kept: $XDG_CACHE_HOME/netvlad_ros, or ~/.cache/netvlad_ros."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "netvlad_ros"


def fetch(published: PublishedFile, folder: Path, progress: bool = True) -> Path:
    """The file on this machine, downloaded if it is not there, and checked in any case.

    Where the publisher states no checksum, that of the first file is written down in RECORD_FILE, and later
    ones are held to it.

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
                f"{error}\nWithout internet: fetch it elsewhere, put it here as {path} and call again"
            ) from error
    _check(path, published, folder / RECORD_FILE)
    return path


def _check(path: Path, published: PublishedFile, record_path: Path) -> None:
    record = _read_record(record_path)
    found = sha256_of(path)
    if not published.sha256 and published.url not in record:
        record[published.url] = found
        record_path.write_text(json.dumps(record, indent=2) + "\n")
        return
    expected = published.sha256 or record[published.url]
    if found.startswith(expected):
        return
    aside = path.with_name(f"{path.name}.refused")
    path.rename(aside)
    remedy = (
        "download it again"
        if published.sha256
        else f"if {published.url} was renewed on purpose, take its line out of {record_path}"
    )
    source = "its publisher states" if published.sha256 else "the first download had"
    raise CheckpointError(
        f"{path} has the sha256 {found}, but {source} {expected}; it is kept as {aside.name}: {remedy}"
    )


def _read_record(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text())
    except ValueError as error:
        raise CheckpointError(
            f"{path}, with the checksums of earlier downloads, is damaged: {error}"
        ) from error
    if not isinstance(record, dict):
        raise CheckpointError(f"{path} holds no checksums of earlier downloads")
    return record
