"""Join several maps of one model in one map, in the frame of the first; each keeps its drives as sessions.

How the frames belong together is found by places seen in both maps, unless it is given. Maps that show other
streets are refused, and so are places that contradict each other. Images are kept if all maps have them.

    netvlad map merge maps/noon maps/night --output maps/both
"""

from __future__ import annotations

import argparse

from netvlad_core.commands import common


def add_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("maps", type=common.path, nargs="+", metavar="MAP", help="map folders, two or more")
    common.add_output_map(command)
    way = command.add_mutually_exclusive_group()
    text = "pose of the second map's frame in that of the first, x y z qx qy qz qw; again for a third map"
    way.add_argument("--transform", type=common.pose, action="append", metavar='"X ..."', help=text)
    text = "the poses of all maps are in one frame, e.g. that of an earlier map in /tf"
    way.add_argument("--same-frame", action="store_true", help=text)
    text = "join the maps by where on earth they are; the poses of all must be of GPS"
    way.add_argument("--gps", action="store_true", help=text)
    common.add_device(command)
    common.add_dimension(add)
    common.add_json(command)


def run(options: argparse.Namespace) -> None:
    from netvlad_core.data.geometry import Pose
    from netvlad_core.errors import MapError
    from netvlad_core.localization.joining import join_in_turn
    from netvlad_core.mapping.care.merge import check_same_frame, joints_on_earth, merge
    from netvlad_core.mapping.care.parts import check_fit
    from netvlad_core.mapping.place_map import PlaceMap

    maps = [PlaceMap.open(path, verify=True) for path in options.maps]
    if len(maps) < 2:
        raise MapError("expected two maps or more to merge, found one")
    check_fit(maps, options.output)
    figures = {}
    if options.same_frame:
        check_same_frame(maps)
        joints = [Pose.identity()] * (len(maps) - 1)
    elif options.gps:
        joints = joints_on_earth(maps)
    elif options.transform is None:
        found = join_in_turn(maps, options.device, progress=not options.json)
        joints = [joint.pose for joint in found]
        figures = {
            f"joint_of_{place_map.path.name}": joint.figures
            for place_map, joint in zip(maps[1:], found, strict=True)
        }
    elif len(options.transform) == len(maps) - 1:
        joints = options.transform
    else:
        raise MapError(
            f"expected {len(maps) - 1} transforms, one for each further map; found {len(options.transform)}"
        )
    common.print_made(merge(maps, joints, options.output, options.dimension), options.json, **figures)
