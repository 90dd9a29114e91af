"""The public names: all there, typed, and each with an example that runs."""

from __future__ import annotations

import doctest
import sys
from importlib import import_module
from pathlib import Path
from shutil import copytree

import pytest

import netvlad_core
from netvlad_core.mapping.place_map import PlaceMap
from support.street import street, write_catalogue

_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, street_map: PlaceMap, checkpoint: Path) -> Path:
    """What the examples name: the drives `drive` and `evening` of one street, `maps/campus`, a checkpoint."""
    folder = tmp_path_factory.mktemp("examples")
    fronts = street(seed=1, metres=80)
    write_catalogue(folder / "drive", fronts, range(0, 80, 2))
    write_catalogue(folder / "evening", fronts, range(1, 80, 3), gain=0.6)
    copytree(street_map.path, folder / "maps" / "campus")
    (folder / "campus.safetensors").write_bytes(checkpoint.read_bytes())
    return folder


@pytest.mark.parametrize("name", netvlad_core.__all__)
def test_example_runs(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = getattr(netvlad_core, name)
    monkeypatch.chdir(folder)
    module = sys.modules[found.__module__]
    examples = [test for test in doctest.DocTestFinder().find(found, name, module, {}) if test.examples]
    assert examples, f"{name} has no example in its docstring"
    for example in examples:
        report: list[str] = []
        doctest.DocTestRunner(optionflags=_FLAGS).run(example, out=report.append)
        assert not report, "".join(report)


def test_every_name_is_documented_on_the_page_of_the_api() -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "api.md").read_text()
    assert not [name for name in netvlad_core.__all__ if f"`{name}" not in page]


def test_names_are_where_their_homes_say_and_unknown_ones_are_refused() -> None:
    for name in netvlad_core.__all__:
        found = getattr(netvlad_core, name)
        assert getattr(import_module(found.__module__), name) is found
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        netvlad_core.Nothing  # noqa: B018


def test_types_are_shipped() -> None:
    assert (Path(netvlad_core.__file__).parent / "py.typed").is_file()
