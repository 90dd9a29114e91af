"""Messages of other packages, generated here from their definitions, since no wheel has them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_PACKAGE = """<?xml version="1.0"?>
<package format="3">
  <name>{name}</name>
  <version>0.0.0</version>
  <description>Messages for a test.</description>
  <maintainer email="maintainers@example.com">netvlad_ros maintainers</maintainer>
  <license>MIT</license>
  <buildtool_depend>ament_cmake</buildtool_depend>
  <buildtool_depend>rosidl_default_generators</buildtool_depend>
  {depends}
  <exec_depend>rosidl_default_runtime</exec_depend>
  <member_of_group>rosidl_interface_packages</member_of_group>
  <export><build_type>ament_cmake</build_type></export>
</package>
"""
_CMAKE = """cmake_minimum_required(VERSION 3.16)
project({name})
find_package(ament_cmake REQUIRED)
find_package(rosidl_default_generators REQUIRED)
{found}
rosidl_generate_interfaces(${{PROJECT_NAME}} {files} {depends})
ament_package()
"""


def generate(
    folder: Path, name: str, definitions: Mapping[str, str], depends: Sequence[str] = ()
) -> dict[str, str]:
    """Build a package of messages {name: definition}; returns the environment that finds them."""
    (folder / "msg").mkdir()
    for message, text in definitions.items():
        (folder / "msg" / f"{message}.msg").write_text(text)
    tags = "".join(f"<depend>{package}</depend>" for package in depends)
    (folder / "package.xml").write_text(_PACKAGE.format(name=name, depends=tags))
    found = "\n".join(f"find_package({package} REQUIRED)" for package in depends)
    files = " ".join(f"msg/{message}.msg" for message in definitions)
    needs = " ".join(["DEPENDENCIES", *depends]) if depends else ""
    cmake = _CMAKE.format(name=name, found=found, files=files, depends=needs)
    (folder / "CMakeLists.txt").write_text(cmake)
    command = [
        "colcon", "--log-base", "log", "build", "--merge-install", "--cmake-args",
        f"-DPython3_EXECUTABLE={sys.executable}", "-DBUILD_TESTING=OFF",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    installed = folder / "install"
    site = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    added = {
        "PYTHONPATH": installed / site,
        "LD_LIBRARY_PATH": installed / "lib",
        "AMENT_PREFIX_PATH": installed,
    }
    return {**os.environ, **{key: f"{path}:{os.environ.get(key, '')}" for key, path in added.items()}}
