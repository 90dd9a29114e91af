"""Join several maps of one model in one map, in the frame of the first; each keeps its drives as sessions.

How the frames belong together is found by places seen in both maps, unless it is given. Maps that show other
streets are refused, and so are places that contradict each other. Images are kept if all maps have them.

    netvlad map merge maps/noon maps/night --output maps/both
"""

from __future__ import annotations

import argparse

from netvlad_core.commands import arguments, output, types


def add_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("maps", type=types.path, nargs="+", metavar="MAP", help="map folders, two or more")
    arguments.add_output_map(command)
    way = command.add_mutually_exclusive_group()
    text = "pose of the second map's frame in that of the first, x y z qx qy qz qw; again for a third map"
    way.add_argument("--transform", type=types.pose, action="append", metavar='"X ..."', help=text)
    text = "the poses of all maps are in one frame, e.g. that of an earlier map in /tf"
    way.add_argument("--same-frame", action="store_true", help=text)
    text = "join the maps by where on earth they are; the poses of all must be of GPS"
    way.add_argument("--gps", action="store_true", help=text)
    arguments.add_device(command)
    arguments.add_dimension(add)
    arguments.add_json(command)


def run(options: argparse.Namespace) -> None:
    from netvlad_core.errors import MapError
    from netvlad_core.localization.joining import join_in_turn
    from netvlad_core.mapping.care.merge import check_same_frame, joints_on_earth, merge_parts
    from netvlad_core.mapping.care.parts import Part, check_fit
    from netvlad_core.mapping.place_map import PlaceMap

    maps = [PlaceMap.open(path, verify=True) for path in options.maps]
    if len(maps) < 2:
        raise MapError("expected two maps or more to merge, found one")
    check_fit(maps, options.output)
    figures = {}
    if options.same_frame:
        check_same_frame(maps)
        parts = [Part.of(place_map) for place_map in maps]
    elif options.gps or options.transform is not None:
        joints = joints_on_earth(maps) if options.gps else options.transform
        if len(joints) != len(maps) - 1:
            raise MapError(
                f"expected {len(maps) - 1} transforms, one for each further map; found {len(joints)}"
            )
        joined = zip(maps[1:], joints, strict=True)
        parts = [Part.of(maps[0]), *(Part.of(place_map, joint=joint) for place_map, joint in joined)]
    else:
        found = join_in_turn(maps, options.device, progress=not options.json)
        pairs = list(zip(maps[1:], found, strict=True))
        parts = [Part.of(maps[0]), *(joint.part(place_map) for place_map, joint in pairs)]
        figures = {f"joint_of_{place_map.path.name}": joint.figures for place_map, joint in pairs}
    output.print_made(merge_parts(parts, options.output, options.dimension), options.json, **figures)
