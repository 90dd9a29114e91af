"""Download published weights and check them.

netvlad fetch-weights patch-netvlad-mapillary-512 --folder weights
"""

from __future__ import annotations

import argparse

from netvlad_core.commands import types
from netvlad_core.model.published import BY_HAND, PUBLISHED, default_folder


def add_arguments(command: argparse.ArgumentParser) -> None:
    width = max(map(len, PUBLISHED))
    named = "".join(f"\n  {name:{width}}  {file.licence}" for name, file in PUBLISHED.items())
    by_hand = "".join(f"\n  {url}" for url in BY_HAND.values())
    command.epilog = (
        f"names, with the licence of the weights:{named}\n\nto be fetched with a browser:{by_hand}\n\n"
        f"{command.epilog}"
    )
    add = command.add_argument
    add("name", choices=PUBLISHED, metavar="NAME", help="one of the names below")
    text = "folder to keep the file in (default: netvlad_ros in the user's cache folder)"
    add("--folder", type=types.path, metavar="DIR", help=text)
    add("--quiet", action="store_true", help="show no progress bar")


def run(options: argparse.Namespace) -> None:
    from netvlad_core.model.published import fetch

    published = PUBLISHED[options.name]
    file = fetch(published, options.folder or default_folder(), not options.quiet)
    print(f"{file}  (licence: {published.licence})")
    if published.backbone:
        print(f"use it with: netvlad build-map ... --backbone {published.backbone} --backbone-weights {file}")
    else:
        beside = " --backbone-weights dinov2_vitg14_pretrain.pth" if options.name.startswith("anyloc") else ""
        print(f"use it with: netvlad import-weights {file}{beside} --output {options.name}.safetensors")
