"""The tree of frames that TF describes, and the way of a robot through it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeGuard

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
    """Transforms parent <- child as recorded on /tf and /tf_static.

    A frame may have two parents if two programs disagree; each way is kept.
    """

    def __init__(self) -> None:
        self._parents: dict[str, list[str]] = {}
        self._fixed: dict[tuple[str, str], Pose] = {}
        self._moving: dict[tuple[str, str], PoseLog] = {}
        self._contradicted: set[tuple[str, str]] = set()

    def add_fixed(self, parent: str, child: str, pose: Pose) -> None:
        self._join(parent, child)
        before = self._fixed.setdefault((parent, child), pose)
        if np.linalg.norm(before.position - pose.position) > _SAME or (
            rotation_between(before.quaternion, pose.quaternion) > _SAME
        ):
            self._contradicted.add((parent, child))
        self._fixed[parent, child] = pose

    def add_moving(
        self, parent: str, child: str, stamp: int, received: int, translation: Any, rotation: Any
    ) -> None:
        """Note a transform as a message holds it: a translation x y z and a rotation x y z w."""
        self._join(parent, child)
        self._moving.setdefault((parent, child), PoseLog()).add(stamp, received, translation, rotation)

    @property
    def remarks(self) -> list[str]:
        """Sentences about static transforms that contradict each other, and about unusual clocks."""
        edges = ", ".join(f"{parent} <- {child}" for parent, child in sorted(self._contradicted))
        contradiction = f"static transforms of {edges} contradict each other; the last ones are taken"
        clocks = [f"{parent} <- {child}: {log.clock.remark}" for (parent, child), log in self._moving.items()]
        return [contradiction] * bool(edges) + [text for text in clocks if not text.endswith(": ")]

    @property
    def lag(self) -> float | None:
        """Usual time from stamp to recording in seconds, as of `RecordedClock`."""
        return next((log.clock.lag for log in self._moving.values() if log.clock.lag is not None), None)

    def _join(self, parent: str, child: str) -> None:
        parents = self._parents.setdefault(child, [])
        if parent not in parents:
            parents.append(parent)

    @property
    def frames(self) -> list[str]:
        """Names of all frames, sorted."""
        return sorted({*self._parents, *(p for parents in self._parents.values() for p in parents)})

    def fixed_between(self, frame: str, other: str) -> Pose | None:
        """Return frame <- other if static transforms join the two, otherwise None."""
        above, above_other = self._fixed_above(frame), self._fixed_above(other)
        common = next((name for name in above if name in above_other), None)
        return None if common is None else above[common].inverse() @ above_other[common]

    def _fixed_above(self, frame: str) -> dict[str, Pose]:
        """Return ancestor <- frame for the frame itself and all ancestors over static transforms."""
        reached, pending = {frame: Pose.identity()}, [frame]
        for name in pending:
            for parent in self._parents.get(name, []):
                if parent not in reached and (parent, name) in self._fixed:
                    reached[parent] = self._fixed[parent, name] @ reached[name]
                    pending.append(parent)
        return reached

    def ways_up(self, frame: str) -> dict[str, list[str]]:
        """Return each ancestor with the frames from it down to `frame`, nearest ancestor first."""
        ways, pending = {frame: [frame]}, [frame]
        for name in pending:
            for parent in self._parents.get(name, []):
                if parent not in ways:
                    ways[parent] = [parent, *ways[name]]
                    pending.append(parent)
        del ways[frame]
        return ways

    def trajectory(
        self, base_frame: str, map_frame: str | None, max_gap: float, skipped: Counter[str]
    ) -> tuple[str, Trajectory]:
        """Follow the base frame through the tree.

        Parameters
        ----------
        map_frame : the frame to see it from; None takes `map`, else `odom`, else the top of the tree.
        max_gap : seconds, see `Trajectory.sampled_at`.
        skipped : takes the counts of broken transforms on the way.

        Returns
        -------
        The map frame and the trajectory map_frame <- base_frame.

        Raises
        ------
        SourceError
            If the tree does not join the two frames, or joins them with static transforms only.
        """
        ways = self.ways_up(base_frame)
        top = map_frame or next((name for name in [*_USUAL_TOPS, *reversed(ways)] if name in ways), None)
        if top not in ways:
            raise SourceError(
                f"TF does not lead from {top or 'any frame'} to {base_frame}; frames above {base_frame}: "
                f"{', '.join(ways) or 'none'}; frames in the bag: {', '.join(self.frames) or 'none'}; "
                "name the base frame and the map frame if they are others"
            )
        way = ways[top]
        edges = _without_rests([self._edge(parent, child, skipped) for parent, child in pairwise(way)])
        if all(isinstance(edge, Pose) for edge in edges):
            raise SourceError(f"TF holds only static transforms from {top} to {base_frame}: no drive")
        return top, compose_chain(edges, max_gap)

    def _edge(self, parent: str, child: str, skipped: Counter[str]) -> Trajectory | Pose:
        if (parent, child) in self._moving:
            return self._moving[parent, child].trajectory(skipped)
        return self._fixed[parent, child]


def _without_rests(edges: list[Trajectory | Pose]) -> list[Trajectory | Pose]:
    """Take transforms on /tf that never change for fixed joints, sent once perhaps, if others do change."""
    still: list[Trajectory | Pose] = [edge[0] if _is_at_rest(edge) else edge for edge in edges]
    return still if any(isinstance(edge, Trajectory) for edge in still) else edges


def _is_at_rest(edge: Trajectory | Pose) -> TypeGuard[Trajectory]:
    return (
        isinstance(edge, Trajectory)
        and len(edge) > 0
        and not np.ptp(edge.positions, axis=0).any()
        and not np.ptp(edge.quaternions, axis=0).any()
    )


def compose_chain(edges: Sequence[Trajectory | Pose], max_gap: float) -> Trajectory:
    """Multiply a chain of transforms, of which at least one moves.

    Each moving one is interpolated to the stamps of all the others, as TF itself does; instants that one of
    them does not cover are left out.

    Parameters
    ----------
    edges : from the top down, a <- b, b <- c, ...
    max_gap : seconds, see `Trajectory.sampled_at`.

    Returns
    -------
    Trajectory of the last frame in the first.
    """
    moving = [edge for edge in edges if isinstance(edge, Trajectory)]
    stamps = np.unique(np.concatenate([edge.stamps for edge in moving]))
    for trajectory in moving:
        stamps = trajectory.sampled_at(stamps, max_gap).stamps
    if not len(stamps):
        return Trajectory(stamps, np.empty((0, 3)), np.empty((0, 4)))
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
    """Pose of a message's position x y z and orientation x y z w.

    Raises
    ------
    PoseError
        See `Pose.from_values`.
    """
    return Pose.from_values(
        [position.x, position.y, position.z], [orientation.x, orientation.y, orientation.z, orientation.w]
    )
