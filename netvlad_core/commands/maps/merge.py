"""Join several maps of one model in one map, in the frame of the first; each keeps its drives as sessions.

Maps in different frames need a transform: the pose of the second map's frame in that of the first, metres and
quaternion. Images are kept if all maps have them, the calibration if it is one and the same.

    netvlad map merge maps/noon maps/night --transform "12.5 -3 0 0 0 0 1" --output maps/both
"""

from __future__ import annotations

import argparse

from netvlad_core.commands import common


def add_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("maps", type=common.path, nargs="+", metavar="MAP", help="map folders, two or more")
    common.add_output_map(command)
    way = command.add_mutually_exclusive_group(required=True)
    text = (
        "pose of the next map's frame in that of the first, x y z qx qy qz qw; repeat it for each further map"
    )
    way.add_argument("--transform", type=common.pose, action="append", metavar='"X ..."', help=text)
    text = "the poses of all maps are in one frame, e.g. that of an earlier map in /tf"
    way.add_argument("--same-frame", action="store_true", help=text)
    common.add_dimension(add)
    common.add_json(command)


def run(options: argparse.Namespace) -> None:
    from netvlad_core.data.geometry import Pose
    from netvlad_core.errors import MapError
    from netvlad_core.mapping.care.merge import check_same_frame, merge
    from netvlad_core.mapping.care.parts import check_fit
    from netvlad_core.mapping.place_map import PlaceMap

    maps = [PlaceMap.open(path, verify=True) for path in options.maps]
    if len(maps) < 2:
        raise MapError("expected two maps or more to merge, found one")
    check_fit(maps, options.output)
    if options.same_frame:
        check_same_frame(maps)
        joints = [Pose.identity()] * (len(maps) - 1)
    elif len(options.transform) != len(maps) - 1:
        raise MapError(
            f"expected {len(maps) - 1} transforms, one for each further map; found {len(options.transform)}"
        )
    else:
        joints = options.transform
    common.print_made(merge(maps, joints, options.output, options.dimension), options.json)
