"""`netvlad precision`: a line per precision, with and without ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netvlad_core.cli import main
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.model import export
from support.street import street, write_catalogue


def test_a_machine_without_onnx_compares_what_torch_has(
    street_map: PlaceMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(export, "missing_packages", lambda: ["onnx", "onnxruntime"])
    drive = write_catalogue(tmp_path / "drive", street(seed=1, metres=80), range(1, 79, 12), gain=0.9)
    (tmp_path / "drive" / "003.png").write_bytes(b"\x89PNG broken")
    arguments = ["precision", str(street_map.path), str(drive), "--threshold", "5", "--quiet"]
    assert main([*arguments, "--precisions", "bfloat16", "--device", "cpu"]) == 0
    out, err = capsys.readouterr()
    assert "pip install onnx onnxruntime" in err
    lines = out.splitlines()
    assert lines[0].startswith("6 queries, 40 places, correct within 5 m; descriptor of 896 float32")
    rows = {line.split()[0]: line.split()[1:] for line in lines[2:4]}
    assert list(rows) == ["float32", "bfloat16"]
    assert rows["float32"][:4] == ["100.0", "100.0", "100.0", "1.00000"]
    assert 0.9 < float(rows["bfloat16"][3]) < 1
    assert lines[-1].startswith("left out: 1 ")


def test_json_has_the_same_figures(
    street_map: PlaceMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(export, "missing_packages", lambda: ["onnx", "onnxruntime"])
    drive = write_catalogue(tmp_path / "drive", street(seed=1, metres=80), range(1, 79, 12), gain=0.9)
    (tmp_path / "drive" / "003.png").write_bytes(b"\x89PNG broken")
    arguments = ["precision", str(street_map.path), str(drive), "--threshold", "5", "--quiet", "--json"]
    assert main([*arguments, "--precisions", "bfloat16", "--device", "cpu"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["queries"], values["model_id"]) == (6, street_map.header.model_id)
    assert values["precisions"]["float32"]["recall"] == {"1": 1.0, "5": 1.0, "10": 1.0}
    assert 0.9 < values["precisions"]["bfloat16"]["similarity"] < 1
    assert sum(values["left_out"].values()) == 1


def test_one_precision_is_no_network_to_compare(
    street_map: PlaceMap, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drive = write_catalogue(tmp_path / "drive", street(seed=1, metres=80), range(3))
    arguments = ["precision", str(street_map.path), str(drive), "--weights", str(tmp_path / "net.onnx")]
    assert main(arguments) == 1
    assert "name its checkpoint with --weights" in capsys.readouterr().err


def test_an_onnx_file_runs_in_the_precision_of_its_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not in the fastest one, which is bfloat16 on many processors."""
    pytest.importorskip("onnxruntime")
    drive, place_map = (
        write_catalogue(tmp_path / "drive", street(seed=1, metres=9), range(3)),
        tmp_path / "map",
    )
    assert (
        main(["build-map", str(drive), "--weights", "packaged", "--output", str(place_map), "--quiet"]) == 0
    )
    capsys.readouterr()
    arguments = ["precision", str(place_map), str(drive), "--precisions", "float32", "--json", "--quiet"]
    assert main(arguments) == 0
    values = json.loads(capsys.readouterr().out)["precisions"]
    assert set(values) == {"float32", "float32 ONNX"}
    assert values["float32 ONNX"]["similarity"] > 0.99999
