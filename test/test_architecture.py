"""The core knows no ROS, and imports run one way."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[1]
_CORE = _ROOT / "netvlad_core"
_ROS = {
    "rclpy",
    "cv_bridge",
    "rosidl_runtime_py",
    "netvlad_ros",
    "sensor_msgs",
    "geometry_msgs",
    "launch",
    "tf2_ros",
}
_LAYERS = ["data", "model", "search", "mapping", "training", "localization", "evaluation", "commands", "cli"]


def _imports(path: Path) -> set[str]:
    """Modules that a file imports, at its top or inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", sorted(_CORE.rglob("*.py")), ids=lambda path: str(path.relative_to(_CORE)))
def test_core_imports_no_ros_and_nothing_from_above(path: Path) -> None:
    imports = _imports(path)
    assert not {name.split(".")[0] for name in imports} & _ROS
    here = path.relative_to(_CORE).parts[0].removesuffix(".py")
    if here in _LAYERS:
        above = _LAYERS[_LAYERS.index(here) + 1 :]
        inside = {name.split(".")[1] for name in imports if name.startswith("netvlad_core.")}
        assert not inside & set(above)


def test_core_is_imported_without_ros_and_faiss() -> None:
    blocked = "import sys; sys.modules.update(rclpy=None, faiss=None, cv_bridge=None); "
    program = (
        blocked + "import netvlad_core; netvlad_core.Extractor; netvlad_core.PlaceMap; netvlad_core.Localizer"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=_ROOT)
