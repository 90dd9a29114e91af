"""Try the package on two short drives that it carries.

Unpacks a drive through a rendered town at noon and one in the evening, maps the first and finds the second in
it, by the commands that it prints. Needs neither ROS nor torch.

netvlad demo-map demo/
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from zipfile import ZipFile

from netvlad_core.commands import build_map, evaluate, types
from netvlad_core.errors import NetvladError

DRIVES = Path(__file__).with_name("demo_drives.zip")


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", type=types.path, metavar="FOLDER", help="folder to make")


def run(options: argparse.Namespace) -> int:
    folder: Path = options.folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise NetvladError(f"{folder} is there already; expected the name of a new or empty folder")
    with ZipFile(DRIVES) as archive:
        archive.extractall(folder)
    noon, evening = (folder / name / "catalogue.csv" for name in ("noon", "evening"))
    status = 0
    for module, arguments in (
        (build_map, [noon, "--every-image", "--weights", "packaged", "--output", folder / "map"]),
        (evaluate, [folder / "map", evening, "--threshold", "10"]),
    ):
        name = module.__name__.rpartition(".")[2].replace("_", "-")
        words = [str(argument) for argument in arguments]
        print(f"\n$ netvlad {shlex.join([name, *words])}", flush=True)
        parser = argparse.ArgumentParser(prog=f"netvlad {name}")
        module.add_arguments(parser)
        status = status or module.run(parser.parse_args(words))
    return status
