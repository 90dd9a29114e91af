"""The tree of frames that TF describes, and the way of a robot through it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from netvlad_core.data.geometry import Pose, rotation_between
from netvlad_core.data.pose_log import PoseLog
from netvlad_core.data.trajectory import Trajectory
from netvlad_core.errors import SourceError

_USUAL_TOPS = ("map", "odom")
# Metres and radians by which two publishers of one joint may differ.
_SAME = 1e-3


class TransformTree:
    """Transforms parent <- child of /tf and /tf_static; a frame has two parents if two programs disagree."""

    def __init__(self) -> None:
        self._edges: dict[tuple[str, str], None] = {}
        self._fixed: dict[tuple[str, str], Pose] = {}
        self._moving: dict[tuple[str, str], PoseLog] = {}
        self._contradicted: set[tuple[str, str]] = set()

    def add_fixed(self, parent: str, child: str, pose: Pose) -> None:
        self._edges[parent, child] = None
        before = self._fixed.get((parent, child), pose)
        distance = np.linalg.norm(before.position - pose.position)
        if distance > _SAME or rotation_between(before.quaternion, pose.quaternion) > _SAME:
            self._contradicted.add((parent, child))
        self._fixed[parent, child] = pose

    def add_moving(
        self, parent: str, child: str, stamp: int, received: int, translation: Any, rotation: Any
    ) -> None:
        """Note a transform as a message holds it: a translation x y z and a rotation x y z w."""
        self._edges[parent, child] = None
        self._moving.setdefault((parent, child), PoseLog()).add_pose(stamp, received, translation, rotation)

    @property
    def remarks(self) -> list[str]:
        """Sentences about static transforms that contradict each other, and about unusual clocks."""
        clocks = {" <- ".join(edge): log.clock.remark for edge, log in self._moving.items()}
        remarks = [f"{edge}: {remark}" for edge, remark in clocks.items() if remark]
        if self._contradicted:
            edges = ", ".join(" <- ".join(edge) for edge in sorted(self._contradicted))
            remarks.append(f"static transforms of {edges} contradict each other; the last ones are taken")
        return remarks

    @property
    def lag(self) -> float | None:
        """Median time from stamp to recording in seconds, None if it is not known."""
        return next((log.clock.lag for log in self._moving.values() if log.clock.lag is not None), None)

    @property
    def frames(self) -> list[str]:
        """Names of all frames, sorted."""
        return sorted({name for edge in self._edges for name in edge})

    def fixed_between(self, frame: str, other: str) -> Pose | None:
        """Return frame <- other if static transforms join the two, otherwise None."""
        ways, ways_other = _ways_up(frame, self._fixed), _ways_up(other, self._fixed)
        common = next((name for name in ways if name in ways_other), None)
        if common is None:
            return None
        return self._along(ways[common]).inverse() @ self._along(ways_other[common])

    def _along(self, way: list[str]) -> Pose:
        """Multiply the static transforms from the first frame of a way down to the last."""
        pose = Pose.identity()
        for edge in reversed(list(pairwise(way))):
            pose = self._fixed[edge] @ pose
        return pose

    def trajectory(
        self, base_frame: str, map_frame: str | None, max_gap: float, skipped: Counter[str]
    ) -> tuple[str, Trajectory]:
        """Follow the base frame through the tree.

        Parameters
        ----------
        map_frame : frame of the trajectory; None takes `map`, else `odom`, else the top of the tree.
        max_gap : seconds, see `Trajectory.sampled_at`.
        skipped : takes the counts of broken transforms on the way.

        Returns
        -------
        Name of the map frame and the trajectory map_frame <- base_frame.

        Raises
        ------
        SourceError
            If the tree does not join the two frames, or joins them with static transforms only.
        """
        ways = _ways_up(base_frame, self._edges)
        del ways[base_frame]
        top = map_frame or next((name for name in [*_USUAL_TOPS, *reversed(ways)] if name in ways), None)
        if top not in ways:
            raise SourceError(
                f"TF does not lead from {top or 'any frame'} to {base_frame}; frames above {base_frame}: "
                f"{', '.join(ways) or 'none'}; frames in the bag: {', '.join(self.frames) or 'none'}; "
                "name the base frame and the map frame if they are others"
            )
        way = pairwise(ways[top])
        edges = _without_rests(
            [self._moving[e].trajectory(skipped) if e in self._moving else self._fixed[e] for e in way]
        )
        if all(isinstance(edge, Pose) for edge in edges):
            raise SourceError(f"TF holds only static transforms from {top} to {base_frame}: no drive")
        return top, compose_chain(edges, max_gap)


def _ways_up(frame: str, edges: Collection[tuple[str, str]]) -> dict[str, list[str]]:
    """Frames from each ancestor over edges (parent, child) down to a frame, nearest ancestor first."""
    ways, pending = {frame: [frame]}, [frame]
    for name in pending:
        for parent in (parent for parent, child in edges if child == name):
            if parent not in ways:
                ways[parent] = [parent, *ways[name]]
                pending.append(parent)
    return ways


def _without_rests(edges: list[Trajectory | Pose]) -> list[Trajectory | Pose]:
    """Treat transforms on /tf that never change as fixed joints, unless none changes."""
    still = [edge if isinstance(edge, Pose) else edge.constant or edge for edge in edges]
    return still if any(isinstance(edge, Trajectory) for edge in still) else edges


def compose_chain(edges: Sequence[Trajectory | Pose], max_gap: float) -> Trajectory:
    """Multiply a chain of transforms a <- b, b <- c, ..., of which at least one moves.

    Each moving one is interpolated to the stamps of all the others, as TF itself does. Instants that one of
    them does not cover are left out, see `Trajectory.sampled_at`.
    """
    moving = [edge for edge in edges if isinstance(edge, Trajectory)]
    stamps = np.unique(np.concatenate([edge.stamps for edge in moving]))
    for trajectory in moving:
        stamps = trajectory.sampled_at(stamps, max_gap).stamps
    if not len(stamps):
        return Trajectory.from_poses([])
    positions, rotations = np.zeros((len(stamps), 3)), Rotation.identity(len(stamps))
    for edge in edges:
        if isinstance(edge, Pose):
            step, turn = edge.position, edge.rotation
        else:
            sample = edge.sampled_at(stamps, max_gap)
            step, turn = sample.positions, Rotation.from_quat(sample.quaternions)
        positions, rotations = positions + rotations.apply(step), rotations * turn
    return Trajectory(stamps, positions, rotations.as_quat())


def frame_name(text: str) -> str:
    """Name of a frame without the leading slash of ROS 1."""
    return text.lstrip("/")


def pose_of(position: Any, orientation: Any) -> Pose:
    """Pose of a message's position x y z and orientation x y z w; raises PoseError as `Pose.from_values`."""
    return Pose.from_values(
        [position.x, position.y, position.z], [orientation.x, orientation.y, orientation.z, orientation.w]
    )
