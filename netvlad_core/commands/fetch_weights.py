"""`netvlad fetch-weights`: published weights from where they live."""

from __future__ import annotations

import argparse

from netvlad_core.commands.common import path
from netvlad_core.model.published import BY_HAND, PUBLISHED, default_folder

SUMMARY = "download published weights and check them"
_WIDTH = max(map(len, PUBLISHED))
REMARK = (
    "Names, and the licence under which each is published:\n"
    + "\n".join(f"  {name:{_WIDTH}}  {file.licence}" for name, file in PUBLISHED.items())
    + "\nTo be fetched with a browser:\n"
    + "\n".join(f"  {name:{_WIDTH}}  {url}" for name, url in BY_HAND.items())
)
EXAMPLE = "netvlad fetch-weights patch-netvlad-mapillary-512 --folder weights"


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", choices=PUBLISHED, metavar="NAME", help="one of the names below")
    command.add_argument(
        "--folder",
        type=path,
        metavar="DIR",
        help="where to keep it (default: netvlad_ros in the user's cache folder)",
    )
    command.add_argument("--quiet", action="store_true", help="no progress bar")


def run(options: argparse.Namespace) -> None:
    from netvlad_core.model.published import fetch

    published = PUBLISHED[options.name]
    file = fetch(published, options.folder or default_folder(), not options.quiet)
    print(f"{file}  (licence: {published.licence})")
    if published.backbone:
        print(f"use it with: netvlad build-map ... --backbone {published.backbone} --backbone-weights {file}")
    else:
        print(f"use it with: netvlad import-weights {file} --output {options.name}.safetensors")
