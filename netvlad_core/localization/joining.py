"""Two frames joined: a drive that lies in a frame of its own is put into the frame of a map.

The sequence filter looks for the places of the drive in the map, as it would for a robot that drives there
now; on streets that the map does not know it stays silent. Where it is sure, a pose in the map stands beside
one in the frame of the drive. All these pairs must agree on one transform: a turn about the vertical and a
shift, since both frames have their z axis up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from netvlad_core.data.geometry import Pose, yaw_of
from netvlad_core.errors import MapError
from netvlad_core.localization import pose_graph
from netvlad_core.localization.localizer import Localizer
from netvlad_core.localization.observation import Observation
from netvlad_core.mapping.care.parts import Part, moved
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.progress import bar

# Metres and angle within which a pair agrees with a transform: poses of places err by a few metres along the
# way, and by the distance between two lanes across it.
_AGREES = 5.0
_AGREES_ANGLE = np.radians(45.0)
# Pairs this far apart tell the turn; on a shorter way two errors of a few metres turn a map by 20 degrees.
_BASELINE = 15.0  # metres
_TRIED = 1000  # transforms of two pairs: a bound of time
_ROUNDS = 20
_CAUCHY = 1.0  # metres
_FEWEST = 10
_MOST_CONTRADICTING = 0.3
# Share of the pairs that agree on one transform below which the odometry is taken to drift. By design.
_RIGID = 0.95


@dataclass(frozen=True, eq=False)
class Sightings:
    """Places of a drive that were found in a map.

    Attributes
    ----------
    rows : (M,) int64 of the drive, ascending.
    poses : (M, 7) float64, where the map says they are.
    """

    rows: np.ndarray
    poses: np.ndarray


@dataclass(frozen=True, eq=False)
class Joint:
    """How two frames belong together.

    Attributes
    ----------
    pose : frame of the map <- frame of the drive.
    residuals : (M,) float64, metres that each sighting is off.
    agrees : (M,) bool, whether it supports the transform.
    baseline : metres between the farthest sightings that agree; the turn is as certain as it is long.
    bent : (N, 7) float64, the poses of the drive in the frame of the map, if its odometry drifts and a pose
        graph has bent them; None if the transform carries them.
    """

    pose: Pose
    residuals: np.ndarray
    agrees: np.ndarray
    baseline: float
    bent: np.ndarray | None = None

    def part(self, drive: PlaceMap) -> Part:
        """The places of the drive in the frame of the map."""
        part = Part.of(drive, joint=self.pose)
        return part if self.bent is None else replace(part, poses=self.bent)

    @property
    def figures(self) -> dict[str, float]:
        """What is reported of it."""
        return {
            "sightings": len(self.agrees),
            "agreeing": int(self.agrees.sum()),
            "median_residual": round(float(np.median(self.residuals[self.agrees])), 3),
            "largest_residual": round(float(self.residuals[self.agrees].max()), 3),
            "baseline": round(self.baseline, 1),
            "is_bent": self.bent is not None,
        }


def join(localizer: Localizer, drive: PlaceMap, progress: bool = False, may_bend: bool = False) -> Joint:
    """Find the transform from the frame of another map to that of the localizer's by places seen in both.

    Parameters
    ----------
    may_bend : whether a single drive whose odometry drifts is bent if no transform carries all of it; needs
        GTSAM.

    Raises
    ------
    MapError
        If a map has no poses, too few places of one are found in the other, or they contradict each other.
    """
    for place_map in (localizer.place_map, drive):
        if not place_map.has_poses:
            raise MapError(f"the map {place_map.path} has no poses, so it cannot be joined to another")
    found = sightings(localizer, drive, progress)
    names = f"{drive.path} and {localizer.place_map.path}"
    return joint_of(found, drive.poses, names, may_bend and len(drive.drives) == 1)


def joint_of(found: Sightings, poses: np.ndarray, names: str, may_bend: bool = False) -> Joint:
    """The transform, map <- drive, that the sightings of a drive with poses (N, 7) agree on.

    Parameters
    ----------
    names : of drive and map, for sentences.
    may_bend : as in `join`.

    Raises
    ------
    MapError
        If there are too few sightings, or they contradict each other.
    """
    if len(found.rows) < _FEWEST:
        raise MapError(
            f"{names} cannot be joined: {len(found.rows)} of {len(poses)} places of the first are recognised "
            f"in the second with certainty, {_FEWEST} are needed; they show other streets, or look too "
            "different"
        )
    joint = fit_joint(found.poses, poses[found.rows])
    if joint is None:
        raise MapError(
            f"{names} cannot be joined: the {len(found.rows)} places seen in both lie within "
            f"{_BASELINE:g} m, too close together to tell how the maps are turned"
        )
    if may_bend and joint.agrees.mean() < _RIGID and pose_graph.is_installed():
        bent = pose_graph.bent(poses, found.rows, found.poses, float(joint.pose.position[2]))
        agrees, residuals = _agreement(Pose.identity(), found.poses, bent[found.rows])
        joint = replace(joint, residuals=residuals, agrees=agrees, bent=bent)
    if joint.agrees.mean() < 1 - _MOST_CONTRADICTING:
        can_bend = not may_bend or pose_graph.is_installed()
        hint = "" if can_bend else "; a drive that drifts is bent into the map with GTSAM: pip install gtsam"
        raise MapError(
            f"{names} cannot be joined: of {len(found.rows)} places seen in both only "
            f"{joint.agrees.sum()} agree on one transform within {_AGREES:g} m; streets look alike, or the "
            f"poses of a map drift{hint}"
        )
    return joint


def join_in_turn(maps: Sequence[PlaceMap], device: str = "auto", progress: bool = False) -> list[Joint]:
    """Join each map but the first to the first one before it that it can be joined to.

    Returns
    -------
    For each further map the frame of the first map <- its frame, with the figures of its own joint.

    Raises
    ------
    MapError
        As `join` does, for a map that can be joined to none before it; CheckpointError without the network.
    """
    joints: list[Joint] = []
    localizers: list[Localizer] = []
    for drive in maps[1:]:
        localizers.append(Localizer.open(maps[len(localizers)].path, device=device))
        failures = []
        for number, localizer in enumerate(localizers):
            if number and joints[number - 1].bent is not None:
                continue  # what is joined to its frame as it was would not fit
            try:
                found = join(localizer, drive, progress, may_bend=True)
            except MapError as error:
                failures.append(error)
                continue
            before = joints[number - 1].pose if number else Pose.identity()
            bent = None if found.bent is None else moved(found.bent, before)
            joints.append(replace(found, pose=before @ found.pose, bent=bent))
            break
        else:
            raise failures[0]
    return joints


def sightings(localizer: Localizer, drive: PlaceMap, progress: bool = False) -> Sightings:
    """Look for the places of a drive in a map, each session in the order of driving, as one drive."""
    rows, poses = [], []
    with bar(_in_order(drive), "joining", total=len(drive), unit="place", show=progress) as ordered:
        last = -1
        for row in ordered:
            if drive.sessions[row] != last:
                localizer.forget()
                last = drive.sessions[row]
            descriptor = drive.whole_descriptors(np.array([row]))[0]
            observation = Observation(int(drive.stamps[row]), descriptor, drive.pose(row))
            if prior := localizer.track(observation).prior:
                rows.append(row)
                poses.append([*prior.pose.position, *prior.pose.quaternion])
    localizer.forget()
    return Sightings(np.array(rows, np.int64), np.array(poses).reshape(-1, 7))


def _in_order(drive: PlaceMap) -> Iterator[int]:
    yield from np.lexsort((drive.stamps, drive.sessions)).tolist()


def fit_joint(ours: np.ndarray, theirs: np.ndarray) -> Joint | None:
    """The transform, ours <- theirs, that most pairs of poses (M, 7) agree on; None if they lie too close.

    Two pairs give a transform, the one with most agreement is refined by all pairs that agree with it, each
    weighted by Cauchy's function of its residual.
    """
    best = max(
        _hypotheses(ours, theirs), key=lambda pose: _agreement(pose, ours, theirs)[0].sum(), default=None
    )
    if best is None:
        return None
    for _ in range(_ROUNDS):
        agrees, residuals = _agreement(best, ours, theirs)
        weights = agrees / (1 + (residuals / _CAUCHY) ** 2)
        best = _fitted(ours, theirs, weights)
    agrees, residuals = _agreement(best, ours, theirs)
    ends = theirs[agrees, :3]
    centre = ends.mean(axis=0) if len(ends) else np.zeros(3)
    farthest = ends[np.linalg.norm(ends - centre, axis=1).argmax()] if len(ends) else centre
    baseline = float(np.linalg.norm(ends - farthest, axis=1).max(initial=0.0))
    return Joint(best, residuals, agrees, baseline)


def _hypotheses(ours: np.ndarray, theirs: np.ndarray) -> Iterator[Pose]:
    rng = np.random.default_rng(0)
    first, second = rng.integers(len(ours), size=(2, 20 * _TRIED))
    is_apart = np.linalg.norm(theirs[first, :2] - theirs[second, :2], axis=1) >= _BASELINE
    for pair in np.column_stack([first, second])[is_apart][:_TRIED]:
        yield _fitted(ours[pair], theirs[pair], np.ones(2))


def _fitted(ours: np.ndarray, theirs: np.ndarray, weights: np.ndarray) -> Pose:
    """Turn about z and shift with the least weighted squares of distances."""
    total = max(weights.sum(), 1e-12)
    centre, other = weights @ ours[:, :3] / total, weights @ theirs[:, :3] / total
    a, b = (ours[:, :2] - centre[:2]), (theirs[:, :2] - other[:2])
    across = weights @ (b[:, 0] * a[:, 1] - b[:, 1] * a[:, 0])
    along = weights @ (b * a).sum(axis=1)
    yaw = float(np.arctan2(across, along))
    turned = Pose.from_xyz_yaw(0.0, 0.0, yaw=yaw)
    return Pose(centre - turned.rotation.apply(other), turned.quaternion)


def _agreement(pose: Pose, ours: np.ndarray, theirs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether each pair agrees with a transform, and the metres between its two positions."""
    carried = moved(theirs, pose)
    residuals = np.linalg.norm(carried[:, :2] - ours[:, :2], axis=1)
    turns = np.abs(np.angle(np.exp(1j * (yaw_of(carried[:, 3:]) - yaw_of(ours[:, 3:])))))
    return (residuals <= _AGREES) & (turns <= _AGREES_ANGLE), residuals
