"""The examples run as their texts say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import cv2

from support.street import street, view

_ROOT = Path(__file__).resolve().parents[1]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, _ROOT / "examples" / "classifier.py", *map(str, arguments)]
    return subprocess.run(command, cwd=_ROOT, capture_output=True, text=True)


def test_classifier_learns_two_streets(tmp_path: Path) -> None:
    for number, name in enumerate(("first", "second")):
        (tmp_path / name).mkdir()
        fronts = street(seed=number, metres=60)
        for index in range(16):
            image = view(fronts, 3.5 * index, gain=1 - 0.02 * index)
            cv2.imwrite(str(tmp_path / name / f"{index:02d}.png"), image[..., ::-1])
    done = run(tmp_path, "--epochs", 10, "--clusters", 4)
    assert done.returncode == 0, done.stderr
    assert "2 classes, 24 images to train on, 8 to test on" in done.stdout
    shares = dict(re.findall(r"(\w+) pooling: ([\d.]+) %", done.stdout))
    assert list(shares) == ["average", "NetVLAD"]
    assert float(shares["NetVLAD"]) >= 75  # chance is 50


def test_classifier_says_what_it_expects(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode != 0
    assert "expected two sub-folders of images or more" in done.stderr
