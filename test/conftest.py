"""What all tests share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.street import street, view

if TYPE_CHECKING:
    from netvlad_core.data.frames import Frame
    from netvlad_core.mapping.place_map import PlaceMap
    from netvlad_core.model.extractor import Extractor

_SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real images and bags beside the repository."""
    if not _SHARED_DATA.is_dir():
        pytest.skip("the real images and bags of ../shared/data are not here")
    return _SHARED_DATA


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quick network with installed ImageNet weights and 8 clusters, fitted on a street."""
    from netvlad_core.model.checkpoints import save_checkpoint
    from netvlad_core.model.fitting import fit_network
    from netvlad_core.model.spec import NetworkSpec

    fronts = street(seed=1, metres=80)
    spec = NetworkSpec.of_backbone(clusters=8)
    network = fit_network(lambda: (view(fronts, x) for x in range(0, 80, 10)), spec, device="cpu")
    network.spec = replace(network.spec, preprocessing=replace(network.spec.preprocessing, size=(96,)))
    path = tmp_path_factory.mktemp("checkpoint") / "street.safetensors"
    save_checkpoint(network, path)
    return path


@pytest.fixture(scope="session")
def extractor(checkpoint: Path) -> Extractor:
    """Runs the network of `checkpoint` on the CPU."""
    from netvlad_core.model.extractor import Extractor

    return Extractor.load(checkpoint, "cpu")


@pytest.fixture(scope="session")
def street_map(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> PlaceMap:
    """Map of street(seed=1, metres=80), a place every 2 m; not to be changed by a test."""
    from netvlad_core.data.catalogue import CatalogueSource
    from netvlad_core.mapping.builder import BuildOptions, build_map
    from support.street import write_catalogue

    folder = tmp_path_factory.mktemp("street")
    catalogue = write_catalogue(folder / "drive", street(seed=1, metres=80), range(0, 80, 2))
    options = BuildOptions(weights=checkpoint, device="cpu")
    return build_map(CatalogueSource.from_csv(catalogue), folder / "map", options, progress=False)


@pytest.fixture(scope="session")
def evening_street(tmp_path_factory: pytest.TempPathFactory) -> tuple[PlaceMap, list[Frame]]:
    """A map of forty metres of the rendered town at noon, and images of an evening in the other lane."""
    from netvlad_core.data.bags.source import BagSource
    from netvlad_core.mapping.builder import BuildOptions, build_map
    from netvlad_core.mapping.keyframes import KeyframeRule
    from netvlad_core.model.spec import NetworkSpec
    from town.drives import FIRST, SECOND_DRIVE, write_drive

    folder, size = tmp_path_factory.mktemp("evening_street"), (320, 240)
    write_drive(folder / "noon", FIRST, length=40.0, image_rate=4.0, size=size)
    write_drive(folder / "evening", SECOND_DRIVE, start=5.0, length=25.0, image_rate=2.0, size=size)
    spec = NetworkSpec.of_backbone(clusters=16)
    options = BuildOptions(KeyframeRule(1.0), "full", spec=spec, device="cpu")
    place_map = build_map(BagSource.open(folder / "noon"), folder / "map", options, progress=False)
    return place_map, list(BagSource.open(folder / "evening"))
