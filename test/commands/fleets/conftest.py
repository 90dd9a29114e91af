"""A store with two sites: the east of a street after its west, and another street."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from netvlad_core.mapping.care.parts import Part, write_parts
from netvlad_core.mapping.place_map import PlaceMap
from support.shared import made_once


@pytest.fixture
def store(street_map: PlaceMap, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two maps of `street_map` at the site street, of which the second waits, and one at the site yard."""
    pytest.importorskip("lancedb", reason="LanceDB is not installed")
    pytest.importorskip("obstore", reason="obstore is not installed")
    from netvlad_core.fleet.exchange import push
    from netvlad_core.fleet.store import FleetStore

    def make(folder: Path) -> None:
        store = FleetStore(str(folder / "store"), makes=True)
        rows = {"west": range(30), "east": range(10, 40), "yard": range(5)}
        for name, chosen in rows.items():
            part = write_parts([Part.of(street_map, np.array(chosen))], folder / name, "split", 0)
            push(store, part.path, "yard" if name == "yard" else "street", f"robot {name}", progress=False)

    shutil.copytree(made_once(tmp_path_factory, "fleet", make) / "store", tmp_path / "store")
    return str(tmp_path / "store")
