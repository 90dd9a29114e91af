"""The lists of packages agree with each other and with what is installed, and each package has hashes."""

from __future__ import annotations

import re
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_FOLDER = Path(__file__).resolve().parents[1] / "requirements"
_LOOSE = {path.name for path in _FOLDER.glob("*.txt")} - {"locked.txt", "locked-docs.txt"}
# What each locked list is made of, by `make lock`.
_LISTS = {"locked.txt": _LOOSE - {"docs.txt", "torch.txt", "robot.txt"}, "locked-docs.txt": {"docs.txt"}}


def _asked(name: str) -> list[Requirement]:
    lines = (_FOLDER / name).read_text().splitlines()
    return [Requirement(text) for line in lines if (text := line.partition("#")[0].strip())]


def _locked(name: str) -> dict[str, list[Requirement]]:
    """Packages by name; one may have several versions, for several versions of Python."""
    packages: dict[str, list[Requirement]] = {}
    for entry in re.split(r"\n(?=\w)", (_FOLDER / name).read_text()):
        if not entry.startswith("#"):
            requirement = Requirement(entry.partition("\\")[0].strip())
            packages.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return packages


@pytest.mark.parametrize("name", _LISTS)
def test_all_that_is_asked_for_is_locked(name: str) -> None:
    locked = _locked(name)
    for requirement in (asked for part in _LISTS[name] for asked in _asked(part)):
        for pin in locked[canonicalize_name(requirement.name)]:
            (pinned,) = pin.specifier
            assert pinned.operator == "=="
            assert requirement.specifier.contains(pinned.version), f"asked: {requirement}, locked: {pin}"


@pytest.mark.parametrize("name", _LISTS)
def test_every_package_has_hashes_and_none_comes_from_a_named_place(name: str) -> None:
    text = (_FOLDER / name).read_text()
    assert not re.search(r"://|--(extra-)?index-url|--find-links|^-e|@ ", text, re.MULTILINE)
    for entry in re.split(r"\n(?=\w)", text):
        if not entry.startswith("#"):
            assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry), entry.splitlines()[0]


def test_what_is_installed_is_what_is_locked() -> None:
    for name, pins in _locked("locked.txt").items():
        with suppress(PackageNotFoundError):  # of another system, or `make build` is due
            installed = version(name)
            fitting = [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]
            assert not fitting or any(pin.specifier.contains(installed) for pin in fitting), name


def test_nothing_that_is_needed_is_left_out_of_the_lock() -> None:
    """pip installs the locked packages without looking for what they need."""
    locked = {**_locked("locked.txt"), "torch": []}
    for name in locked:
        try:
            needs = [Requirement(text) for text in distribution(name).requires or ()]
        except PackageNotFoundError:  # of another system
            continue
        for need in needs:
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                left_out = canonicalize_name(need.name) not in locked
                assert not left_out or (name == "torch" and _is_of_cuda(need.name)), f"{name} needs {need}"


def _is_of_cuda(name: str) -> bool:
    return name.startswith(("nvidia-", "cuda-", "triton"))
