"""Whole runs on a tiny set: they learn, and say what was wrong with the images."""

from __future__ import annotations

from pathlib import Path

from netvlad_core.training.run import train
from support.training import write_drives


def test_broken_images_are_counted_and_the_run_goes_on(tmp_path: Path, tiny: Path) -> None:
    config = write_drives(tmp_path, tiny, epochs=1)
    (tmp_path / "train" / "day" / "003.png").write_bytes(b"broken")
    (tmp_path / "train" / "dusk" / "005.png").unlink()
    (tmp_path / "validation" / "dusk" / "001.png").unlink()
    with (tmp_path / "train" / "dusk" / "catalogue.csv").open("a") as file:
        file.write("far.png,5000,0,0,900\n")
    said: list[str] = []
    reached = train(config, tmp_path / "run", progress=False, say=said.append)
    assert reached.step > 2
    text = "\n".join(said)
    assert "20 database images, 13 queries; 1 more have no positive and are left out" in text
    assert "2 images could not be read (003.png, 005.png); 1 tuples" in text
