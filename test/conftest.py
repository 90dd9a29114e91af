"""What all tests share."""

from __future__ import annotations

import os
import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from support.shared import made_once, reserve_domain
from support.street import street, view, write_catalogue

if TYPE_CHECKING:
    from netvlad_core.data.frames import Frame
    from netvlad_core.mapping.place_map import PlaceMap
    from netvlad_core.model.extractor import Extractor

_SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_configure() -> None:
    """Keep ROS to this process, and let processes that share the tests share the cores."""
    reserve_domain()
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores: tests of nodes wait for messages half of their time."""
    return min(os.cpu_count() or 1, 4) + 1


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Each test starts with the same random numbers, in whatever order the tests run."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  # libraries use it
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


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

    def make(folder: Path) -> None:
        fronts = street(seed=1, metres=80)
        spec = NetworkSpec.of_backbone(clusters=8)
        network = fit_network(lambda: (view(fronts, x) for x in range(0, 80, 10)), spec, device="cpu")
        network.spec = replace(network.spec, preprocessing=replace(network.spec.preprocessing, size=(96,)))
        save_checkpoint(network, folder / "street.safetensors")

    return made_once(tmp_path_factory, "checkpoint", make) / "street.safetensors"


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
    from netvlad_core.mapping.place_map import PlaceMap

    def make(folder: Path) -> None:
        catalogue = write_catalogue(folder / "drive", street(seed=1, metres=80), range(0, 80, 2))
        options = BuildOptions(weights=checkpoint, device="cpu", store_features="none")
        build_map(CatalogueSource.from_csv(catalogue), folder / "map", options, progress=False)

    return PlaceMap.open(made_once(tmp_path_factory, "street", make) / "map")


@pytest.fixture(scope="session")
def features_map(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> PlaceMap:
    """The places of `street_map` with local features instead of images; not to be changed by a test."""
    from netvlad_core.data.catalogue import CatalogueSource
    from netvlad_core.mapping.builder import BuildOptions, build_map
    from netvlad_core.mapping.place_map import PlaceMap

    def make(folder: Path) -> None:
        catalogue = write_catalogue(folder / "drive", street(seed=1, metres=80), range(0, 80, 2))
        options = BuildOptions(
            weights=checkpoint, device="cpu", store_images="none", store_features="rootsift"
        )
        build_map(CatalogueSource.from_csv(catalogue), folder / "map", options, progress=False)

    return PlaceMap.open(made_once(tmp_path_factory, "features", make) / "map")


@pytest.fixture(scope="session")
def noon_drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bag of 40 m of the rendered town at noon, 320x240 at 8 Hz."""
    from town.drives import FIRST, write_drive

    def make(folder: Path) -> None:
        write_drive(folder / "bag", FIRST, start=20.0, length=40.0, image_rate=8.0, size=(320, 240))

    return made_once(tmp_path_factory, "noon", make) / "bag"


@pytest.fixture(scope="session")
def evening_street(
    noon_drive: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[PlaceMap, list[Frame]]:
    """A map of `noon_drive`, and images of an evening in the other lane."""
    from netvlad_core.data.bags.source import BagSource
    from netvlad_core.mapping.builder import BuildOptions, build_map
    from netvlad_core.mapping.keyframes import KeyframeRule
    from netvlad_core.mapping.place_map import PlaceMap
    from town.drives import SECOND_DRIVE, write_drive

    def make(folder: Path) -> None:
        evening = folder / "evening"
        write_drive(evening, SECOND_DRIVE, start=25.0, length=25.0, image_rate=2.0, size=(320, 240))
        options = BuildOptions(KeyframeRule(1.0), "full", device="cpu", store_features="none")
        build_map(BagSource.open(noon_drive), folder / "map", options, progress=False)

    folder = made_once(tmp_path_factory, "evening", make)
    return PlaceMap.open(folder / "map"), list(BagSource.open(folder / "evening"))
