"""`netvlad import-weights` says what it found, and writes a checkpoint that can be used."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from netvlad_core.cli import main
from netvlad_core.data.sources import open_source
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.model.extractor import Extractor
from support import foreign_weights as foreign


def test_command_says_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(8)
    assignment, centroids = foreign.layer_weights(random, 32, 256)
    state = foreign.tensors(foreign.alexnet_weights(random), "encoder.")
    state |= foreign.tensors({"centroids": centroids, "conv.weight": assignment[:, :, None, None]}, "pool.")
    weights, output = tmp_path / "checkpoint.pth.tar", tmp_path / "mine.safetensors"
    torch.save({"epoch": 30, "state_dict": state, "best_score": 0.9, "optimizer": {}}, weights)
    assert main(["import-weights", str(weights), "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert "Nanne/pytorch-NetVlad" in printed
    assert "alexnet" in printed
    descriptor = Extractor.load(output, "cpu")(np.full((120, 160, 3), 90, np.uint8))
    assert descriptor.shape == (1, 32 * 256)
    assert main(["import-weights", str(weights), "--output", str(output), "--dimension", "64"]) == 1
    assert "is not whitened, so it cannot be cropped" in capsys.readouterr().err
    assert main(["import-weights", str(output), "--output", str(output)]) == 1
    assert "is read by this command, too" in capsys.readouterr().err


def test_foreign_network_builds_a_map_and_describes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, output = tmp_path / "averages.onnx", tmp_path / "ours.onnx"
    nodes = [helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[8, 8], strides=[8, 8])]
    shapes = (("x", ["batch", 3, 48, 64]), ("y", ["batch", 3, 6, 8]))
    given, found = ([helper.make_tensor_value_info(name, 1, shape)] for name, shape in shapes)
    graph = helper.make_graph(nodes, "averages", given, found)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), weights)
    wrap = ["import-weights", str(weights), "--output", str(output)]
    assert main([*wrap, "--size", "48", "64", "--multiple", "8"]) == 1
    assert "exclude each other" in capsys.readouterr().err
    assert main([*wrap, "--size", "48", "64", "--mean", "0.5", "0.5", "0.5"]) == 0
    assert "a network of 144 dimensions" in capsys.readouterr().out
    write_pictures(tmp_path / "drive")
    place_map = tmp_path / "map"
    build = ["build-map", str(tmp_path / "drive"), "--no-poses", "--weights", str(output), "--quiet"]
    assert main([*build, "--output", str(place_map)]) == 0
    assert PlaceMap.open(place_map).descriptors.shape[1] == 144
    options = BuildOptions(weights=output, keep_network=True, require_poses=False, store_features="none")
    kept = build_map(open_source(tmp_path / "drive"), tmp_path / "kept", options, progress=False)
    output.rename(tmp_path / "away.onnx")
    assert kept.open_extractor(device="cpu").model_id == kept.header.model_id
    assert main(["import-weights", str(weights), "--output", str(tmp_path / "a.safetensors")]) == 1
    assert "expected --output NAME.onnx" in capsys.readouterr().err


def write_pictures(folder: Path) -> None:
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(4):
        blocks = random.integers(0, 256, (6, 8, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), blocks.repeat(16, axis=0).repeat(16, axis=1))
