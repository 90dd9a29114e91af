"""Maps of several drives become one, as far as their frames can be joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from netvlad_core.data.geometry import Pose
from netvlad_core.errors import MapError
from netvlad_core.localization.joining import join
from netvlad_core.localization.localizer import Localizer
from netvlad_core.mapping.care.merge import check_same_frame
from netvlad_core.mapping.place_map import PlaceMap


@dataclass(frozen=True, eq=False)
class JointMaps:
    """Maps whose frames belong together.

    Attributes
    ----------
    maps : the first one, and those that could be joined to it.
    joints : frame of the first map <- frame of each further one.
    left_out : path of each other map, and why it could not be joined.
    """

    maps: list[PlaceMap]
    joints: list[Pose]
    left_out: dict[Path, str]


def join_maps(
    maps: Sequence[PlaceMap], same_frame: bool = False, device: str = "auto", progress: bool = False
) -> JointMaps:
    """Join as many maps as possible to the first one.

    A map that meets none of those before it is tried again once others have been joined.

    Parameters
    ----------
    same_frame : whether the poses of all maps are in one frame already.

    Raises
    ------
    MapError
        If the frames are said to be the same and are not.
    CheckpointError
        Without the network of the maps.
    """
    if same_frame:
        check_same_frame(maps)
        return JointMaps(list(maps), [Pose.identity()] * (len(maps) - 1), {})
    joined, left_out = [(maps[0], Pose.identity())], {each.path: "" for each in maps[1:]}
    waiting = list(maps[1:])
    for base, pose in joined:  # grows meanwhile
        if not waiting:
            break
        localizer = Localizer.open(base.path, device=device)
        for drive in list(waiting):
            try:
                found = join(localizer, drive, progress)
            except MapError as error:
                left_out[drive.path] = str(error)
                continue
            joined.append((drive, pose @ found.pose))
            waiting.remove(drive)
            del left_out[drive.path]
    chosen = [each for each, _ in joined]
    return JointMaps(chosen, [pose for _, pose in joined[1:]], left_out)
