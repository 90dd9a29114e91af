"""ONNX Runtime: its devices, and what is said if it is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from netvlad_core.errors import NetvladError
from netvlad_core.model.onnx_engine import OnnxEngine
from netvlad_core.model.open_engine import variant_path


def test_missing_runtime_is_named(small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(NetvladError, match="pip install onnxruntime"):
        OnnxEngine(variant_path(small_checkpoint, "float32"))


def test_device_that_is_not_here_is_named(small_checkpoint: Path) -> None:
    with pytest.raises(NetvladError, match=r"'tpu', it has .*CPUExecutionProvider"):
        OnnxEngine(variant_path(small_checkpoint, "float32"), "tpu")
