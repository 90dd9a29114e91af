"""Write the places of a map for other programs.

The ending of the output says what it becomes: a trajectory (.tum), .csv, .geojson or .kml; without an ending
it is a folder with a text model of COLMAP: images, cameras and poses. GeoJSON and KML need a map whose poses
are from GPS, COLMAP one with images and a calibrated camera.

    netvlad map export maps/campus --output campus.geojson
"""

from __future__ import annotations

import argparse

from netvlad_core.commands import arguments, output, types

_KINDS = ("tum", "csv", "geojson", "kml", "colmap")


def add_arguments(command: argparse.ArgumentParser) -> None:
    arguments.add_map(command)
    add = command.add_argument
    add("--output", type=types.path, required=True, metavar="PATH", help="file or folder to write")
    text = f"{', '.join(_KINDS)} (default: what the ending of the output says)"
    add("--format", choices=_KINDS, metavar="F", help=text)
    arguments.add_json(command)


def run(options: argparse.Namespace) -> int:
    from netvlad_core.errors import NetvladError
    from netvlad_core.mapping.care.colmap import export_colmap
    from netvlad_core.mapping.care.exports import export_file
    from netvlad_core.mapping.place_map import PlaceMap

    place_map, suffix = PlaceMap.open(options.map, verify=True), options.output.suffix.lower()[1:]
    kind = options.format or suffix or "colmap"
    if kind not in _KINDS:
        raise NetvladError(f"{options.output} ends in none of {', '.join(_KINDS)}; name one with --format")
    if kind == "colmap":
        done = export_colmap(place_map, options.output)
    else:
        done = export_file(place_map, options.output, kind)
    output.print_values({"output": str(options.output), "format": kind, "places": done.places}, options.json)
    return output.finish(done.places, done.left_out, options.json)
