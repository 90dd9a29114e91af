"""What stands beside the code: one version, keys that rosdep knows, placeholders in known places."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import netvlad_core

_ROOT = Path(__file__).resolve().parents[1]
# Found in ros/rosdistro at 8468e88 (August 2026), for Humble, Jazzy, Kilted, Lyrical and Rolling alike.
_KNOWN_KEYS = """
    ament_cmake ament_cmake_python ament_cmake_pytest builtin_interfaces cv_bridge diagnostic_msgs
    geometry_msgs launch launch_ros launch_testing lifecycle_msgs nav_msgs python3-matplotlib python3-numpy
    python3-opencv python3-pil python3-pytest python3-pytest-timeout python3-scipy python3-tqdm python3-yaml
    rcl_interfaces rclpy rosidl_default_generators rosidl_default_runtime rviz2 sensor_msgs std_msgs std_srvs
    tf2_msgs visualization_msgs
"""


def test_the_version_is_that_of_the_code() -> None:
    package = ElementTree.parse(_ROOT / "package.xml").getroot()
    assert package.findtext("version") == netvlad_core.__version__
    assert "__version__" in (_ROOT / "setup.py").read_text()
    assert not re.search(r"\bversion=[\"']\d", (_ROOT / "setup.py").read_text())


def test_rosdep_knows_every_key() -> None:
    package = ElementTree.parse(_ROOT / "package.xml").getroot()
    keys = {element.text for element in package if element.tag.endswith("depend")}
    assert keys - set(_KNOWN_KEYS.split()) == set()


def test_placeholders_are_where_the_page_for_contributors_says() -> None:
    """When the project gets a home, that page tells what to change."""
    page = (_ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`([\w/.]+)`", page.partition("## Set-up")[0]))
    files = [*_ROOT.glob("*.*"), *(_ROOT / "docs").rglob("*.md"), *_ROOT.glob(".github/**/*.*")]
    using = {
        str(path.relative_to(_ROOT))
        for path in files
        if path.is_file() and "https://example.com" in path.read_text(errors="replace")
    }
    assert using - {"CONTRIBUTING.md"} == named
