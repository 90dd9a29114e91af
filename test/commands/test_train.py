"""`netvlad train` writes into a folder of its own and says how to go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from netvlad_core.cli import main
from support.street import street, write_catalogue


@pytest.fixture
def config(tmp_path: Path, checkpoint: Path) -> Path:
    drive = write_catalogue(tmp_path / "drive", street(seed=1, metres=60), range(0, 60, 4))
    path = tmp_path / "street.toml"
    path.write_text(
        f'database = ["{drive.relative_to(tmp_path)}"]\nweights = "{checkpoint}"\nepochs = 1\nnegatives = 2\n'
        'time_exclusion = 0.0\ntrainable = "head"\ndevice = "cpu"\nworkers = 1\n'
    )
    return path


@pytest.mark.parametrize("name", ["config.json", "metrics.csv", "best.safetensors"])
def test_a_folder_of_a_stranger_stays_as_it_is(
    config: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stranger = tmp_path / "street" / name
    stranger.parent.mkdir()
    stranger.write_text('{"editor": "of something else"}\n')
    assert main(["train", "--config", str(config), "--quiet"]) == 1
    assert f"{stranger} exists, and no earlier run has written it" in capsys.readouterr().err
    assert list(stranger.parent.iterdir()) == [stranger]
    assert stranger.read_text() == '{"editor": "of something else"}\n'


def test_a_run_is_not_overwritten_but_resumed(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "--config", str(config), "--output", str(tmp_path / "run"), "--quiet"]
    assert main([*arguments, "--resume"]) == 1
    assert "there is nothing to resume" in capsys.readouterr().err
    assert main(arguments) == 0
    assert "best.safetensors: after epoch 1 of 1" in capsys.readouterr().out
    assert main(arguments) == 1
    assert "holds a run already: --resume goes on with it" in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 0
