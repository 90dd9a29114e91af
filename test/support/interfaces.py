"""Messages of other packages, generated here from their definitions, since no wheel has them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# Package: what it depends on, and its messages.
_PACKAGES = {
    "tf2_msgs": ("geometry_msgs", {"TFMessage": "geometry_msgs/TransformStamped[] transforms\n"}),
    "cslam_common_interfaces": (
        "",
        {
            "GlobalDescriptor": "uint32 keyframe_id\nuint32 robot_id\nfloat64[] descriptor\n",
            "GlobalDescriptors": "GlobalDescriptor[] descriptors\n",
            "LocalKeyframeMatch": "uint32 keyframe0_id\nuint32 keyframe1_id\n",
        },
    ),
}
_PACKAGE = """<?xml version="1.0"?>
<package format="3">
  <name>{name}</name>
  <version>0.0.0</version>
  <description>Messages for a test.</description>
  <maintainer email="maintainers@example.com">netvlad_ros maintainers</maintainer>
  <license>MIT</license>
  <buildtool_depend>ament_cmake</buildtool_depend>
  <buildtool_depend>rosidl_default_generators</buildtool_depend>
  {depend}
  <exec_depend>rosidl_default_runtime</exec_depend>
  <member_of_group>rosidl_interface_packages</member_of_group>
  <export><build_type>ament_cmake</build_type></export>
</package>
"""
_CMAKE = """cmake_minimum_required(VERSION 3.16)
project({name})
find_package(ament_cmake REQUIRED)
find_package(rosidl_default_generators REQUIRED)
{find}
rosidl_generate_interfaces(${{PROJECT_NAME}} {files} {depend})
ament_package()
"""


def build(folder: Path) -> None:
    """Write the packages into a folder and build them."""
    for name, (needed, definitions) in _PACKAGES.items():
        messages = folder / name / "msg"
        messages.mkdir(parents=True)
        for message, text in definitions.items():
            (messages / f"{message}.msg").write_text(text)
        depend = f"<depend>{needed}</depend>" if needed else ""
        (folder / name / "package.xml").write_text(_PACKAGE.format(name=name, depend=depend))
        cmake = _CMAKE.format(
            name=name,
            find=f"find_package({needed} REQUIRED)" if needed else "",
            files=" ".join(f"msg/{message}.msg" for message in definitions),
            depend=f"DEPENDENCIES {needed}" if needed else "",
        )
        (folder / name / "CMakeLists.txt").write_text(cmake)
    command = [
        "colcon", "--log-base", "log", "build", "--merge-install", "--cmake-args",
        f"-DPython3_EXECUTABLE={sys.executable}", "-DBUILD_TESTING=OFF",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def environment(folder: Path) -> dict[str, str]:
    """Environment variables in which the packages built in a folder are found."""
    installed = folder / "install"
    added = {
        "PYTHONPATH": installed / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages",
        "LD_LIBRARY_PATH": installed / "lib",
        "AMENT_PREFIX_PATH": installed,
    }
    return {**os.environ, **{key: f"{path}:{os.environ.get(key, '')}" for key, path in added.items()}}
