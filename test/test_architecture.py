"""Imports run one way through the whole repository, in no circle, and the core and the town know no ROS.

Every import counts: at the top of a file, inside a function, under `TYPE_CHECKING`, relative ones.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[1]
# Rooms of the house from the ground up. A room imports only from itself and from floors below its own; rooms
# of one floor know nothing of each other. The longest name that fits a module is its room.
_FLOORS = (
    ("netvlad_core.errors",),
    ("netvlad_core.machine", "netvlad_core.files", "netvlad_core.progress"),
    ("netvlad_core.download", "netvlad_core.settings"),
    ("netvlad_core.data",),
    ("netvlad_core.model",),
    ("netvlad_core.search",),
    ("netvlad_core.geometry",),
    ("netvlad_core.mapping",),
    ("netvlad_core.training",),
    ("netvlad_core.localization",),
    ("netvlad_core.evaluation", "netvlad_core.fleet"),
    ("netvlad_core",),  # the public face
    ("netvlad_core.commands",),
    ("netvlad_core.cli",),
    ("netvlad_core.__main__",),
    ("netvlad_ros", "town"),
    ("benchmarks", "examples", "launch"),
    ("demo", "faults", "tools"),
)
_FLOOR = {room: number for number, rooms in enumerate(_FLOORS) for room in rooms}
_WITHOUT_ROS = ("netvlad_core", "town")
_ROS = re.compile(r"(rcl|ament|launch|tf2|rosidl|ros2|cv_bridge|netvlad_ros|\w+_(msgs|srvs|interfaces)$)")
_NOT_OURS = {"build", "install", "log", "test"}


def _modules() -> dict[str, Path]:
    """Every module of the repository but the tests, by its dotted name."""
    found = {}
    for folder in sorted(_ROOT.iterdir()):
        if folder.is_dir() and not folder.name.startswith(".") and folder.name not in _NOT_OURS:
            for path in sorted(folder.rglob("*.py")):
                parts = path.relative_to(_ROOT).with_suffix("").parts
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _imports(module: str, path: Path) -> Iterator[tuple[str, str | None]]:
    """What a file imports: absolute modules, each with a name taken from it or None."""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((source, alias.name) for alias in node.names)


_MODULES = _modules()
_IMPORTS = {module: list(_imports(module, path)) for module, path in _MODULES.items()}


def _arrows() -> dict[str, set[str]]:
    """For each module the modules of the repository that it imports."""
    arrows: dict[str, set[str]] = {}
    for module, imports in _IMPORTS.items():
        inside = {
            f"{source}.{name}" if f"{source}.{name}" in _MODULES else source for source, name in imports
        }
        arrows[module] = {name for name in inside if name in _MODULES and name != module}
    return arrows


def _room(module: str) -> str:
    """The room that a module belongs to; KeyError where the table has none."""
    name = module
    while name not in _FLOOR:
        name, dot, _ = name.rpartition(".")
        if not dot:
            raise KeyError(module)
    return name


def _circles(arrows: dict[str, set[str]]) -> list[set[str]]:
    """Sets of modules that import each other in a circle: Tarjan's strongly connected components."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(module: str) -> None:
        number[module] = lowest[module] = len(number)
        stack.append(module)
        for other in arrows[module]:
            if other not in number:
                visit(other)
                lowest[module] = min(lowest[module], lowest[other])
            elif other in stack:
                lowest[module] = min(lowest[module], number[other])
        if lowest[module] == number[module]:
            at = stack.index(module)
            component = set(stack[at:])
            del stack[at:]
            if len(component) > 1:
                found.append(component)

    for module in arrows:
        if module not in number:
            visit(module)
    return found


def test_every_module_has_a_room() -> None:
    assert [module for module in _MODULES if _room(module) == "netvlad_core"] == ["netvlad_core"]


@pytest.mark.parametrize("room", _FLOOR)
def test_no_room_imports_from_its_own_floor_or_from_above(room: str) -> None:
    wrong = [
        f"{module} imports {other}"
        for module, others in _arrows().items()
        if _room(module) == room
        for other in sorted(others)
        if _room(other) != room and _FLOOR[_room(other)] >= _FLOOR[room]
    ]
    assert not wrong


def test_nothing_in_the_packages_imports_the_town() -> None:
    arrows = _arrows()
    packages = [module for module in arrows if module.split(".")[0] in ("netvlad_core", "netvlad_ros")]
    assert not [m for m in packages if any(other.split(".")[0] == "town" for other in arrows[m])]


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert _circles(_arrows()) == []


def test_a_circle_is_found() -> None:
    arrows = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a", "e"}, "e": set()}
    assert _circles(arrows) == [{"a", "b", "c"}]


def test_files_on_the_page_for_newcomers_are_there() -> None:
    page = (_ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w/]+(?:\.py|/))`", page))
    files = {f"/{path.relative_to(_ROOT)}" for path in _MODULES.values()} | {"/test/test_architecture.py"}
    assert len(named) > 40
    assert not [name for name in named if not any(f"/{name}" in file for file in files)]


def test_core_and_town_import_no_ros() -> None:
    wrong = [
        f"{module} imports {source}"
        for module, imports in _IMPORTS.items()
        if module.split(".")[0] in _WITHOUT_ROS
        for source, _ in imports
        if _ROS.match(source.split(".")[0])
    ]
    assert not wrong


def test_core_is_imported_without_ros_and_faiss() -> None:
    blocked = "import sys; sys.modules.update(rclpy=None, faiss=None, cv_bridge=None); "
    program = (
        blocked + "import netvlad_core; netvlad_core.Extractor; netvlad_core.PlaceMap; netvlad_core.Localizer"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=_ROOT)
