"""The main job in its short form: two rendered drives, the real builder and the real node over DDS."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("panda3d")

_ROOT = Path(__file__).resolve().parents[2]


def test_second_drive_is_recognized_on_the_map_of_the_first(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "demo", "--short", "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    recall = re.search(r"Recall@1\s+([\d.]+) % within 25 m", done.stdout)
    assert recall is not None, done.stdout
    assert float(recall[1]) > 85
    answered = re.search(r"played (\d+), answered (\d+)", done.stdout)
    assert answered is not None
    assert int(answered[2]) > 0.7 * int(answered[1])
    assert (tmp_path / "demo.png").stat().st_size > 50_000
    page = tmp_path / "report.html"
    assert f"report        {page}\n" in done.stdout
    assert page.stat().st_size > 100_000
    bags = [path.name for path in (tmp_path / "short").rglob("*.mcap")]
    assert sorted(bags) == ["evening.mcap", "noon.mcap"]  # no hidden files
