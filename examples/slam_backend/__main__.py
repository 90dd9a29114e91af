"""Drive a bag with drifting odometry through the loop closer and this back end, over ROS 2.

  python -m examples.slam_backend drive/ --output slam/

The true poses of the bag, with noise added to every step, become the odometry. Prints the absolute
trajectory error of that odometry, of the corrected trajectory, and of one for which false closures were mixed
in; writes corrected.tum and a picture. Several bags are driven one after the other, in one frame; --two-laps
drives every second image and then the others, two laps out of one loop. For a drive of one's own, run
`ros2 run netvlad_ros loop_closure_node` and look at node.py.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

import matplotlib
import numpy as np
import rclpy
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from examples.slam_backend.trajectory_error import absolute_trajectory_error
from netvlad_core.data.camera import Camera
from netvlad_core.data.frames import Frame
from netvlad_core.data.geometry import Pose
from netvlad_core.data.sources import open_source
from netvlad_core.data.trajectory import Trajectory, write_tum
from netvlad_core.errors import NetvladError, SourceError
from netvlad_core.localization.loops.loop_options import LoopClosureOptions
from netvlad_core.model.backbones import PACKAGED_NETWORK
from netvlad_core.progress import bar
from netvlad_ros.conversions import image_to_message, pose_to_message, stamp_from_nanoseconds
from netvlad_ros.executor import ThreadedExecutor
from netvlad_ros.loop_closure_node import LoopClosureNode
from town.drift import Drift

from .node import BackEnd, add_message
from .pose_graph import PoseGraph

matplotlib.use("Agg")
_PAUSE = 10**9  # nanoseconds from one bag to the next
_BEFORE = 0.005  # seconds for the odometry to arrive before its image


@dataclass(frozen=True)
class Drive:
    """Images with their stamps and true poses, of one bag or several."""

    bags: list[Path]
    two_laps: bool = False

    @cached_property
    def camera(self) -> Camera | None:
        """Calibration of the first bag, where it has one."""
        return open_source(self.bags[0]).camera

    def frames(self) -> Iterator[tuple[int, Pose, Frame]]:
        """Stamp in nanoseconds, pose and the frame; frames without a pose are left out."""
        offset, last = 0, 0
        for bag in self.bags:
            first = True
            for frame in self._of(bag):
                if frame.pose is None:
                    continue
                if first:
                    offset, first = (last + _PAUSE - frame.stamp if last else 0), False
                last = frame.stamp + offset
                yield last, frame.pose, frame

    def _of(self, bag: Path) -> Iterator[Frame]:
        if not self.two_laps:
            yield from open_source(bag)
            return
        frames = list(open_source(bag))
        if len(frames) < 2:
            return
        step = frames[1].stamp - frames[0].stamp
        for number, frame in enumerate([*frames[::2], *frames[1::2]]):
            yield replace(frame, stamp=frames[0].stamp + number * step)


def drive(
    source: Drive, closer_parameters: dict[str, str | float | bool], drift: Drift, rate: float
) -> tuple[BackEnd, dict[int, Pose], dict[int, Pose]]:
    """Run loop closer and back end over ROS; returns the back end, odometry and true poses by stamp."""
    true = {stamp: pose for stamp, pose, _ in source.frames()}
    if len(true) < 2:
        raise SourceError(f"{len(true)} images with a pose in {', '.join(map(str, source.bags))}: no drive")
    odometry = dict(zip(true, drift.odometry(list(true.values())), strict=True))
    rclpy.init()
    overrides = [Parameter(name, value=value) for name, value in closer_parameters.items()]
    closer = LoopClosureNode(parameter_overrides=overrides)
    back_end, player = BackEnd(), Node("player")
    images = player.create_publisher(Image, "image", qos_profile_sensor_data)
    calibrations = player.create_publisher(CameraInfo, "camera_info", qos_profile_sensor_data)
    poses = player.create_publisher(Odometry, "odom", QoSProfile(depth=1000))
    executor = ThreadedExecutor(num_threads=6)
    for node in (closer, back_end, player):
        executor.add_node(node)
    Thread(target=executor.spin, daemon=True).start()
    while poses.get_subscription_count() < 2 or not images.get_subscription_count():
        sleep(0.05)
    for stamp, _, frame in bar(source.frames(), "driving", len(true)):
        started = monotonic()
        header = Header(stamp=stamp_from_nanoseconds(stamp), frame_id="odom")
        message = Odometry(header=header, child_frame_id="base_link")
        message.pose.pose = pose_to_message(odometry[stamp])
        poses.publish(message)
        if source.camera is not None:
            calibrations.publish(camera_message(source.camera, header))
        sleep(_BEFORE)
        images.publish(image_to_message(frame.decode(), header))
        sleep(max(0.0, 1 / rate - (monotonic() - started)))
    sleep(1.0)
    executor.shutdown()
    closer.destroy_node()
    rclpy.try_shutdown()
    return back_end, odometry, true


def camera_message(camera: Camera, header: Header) -> CameraInfo:
    message = CameraInfo(header=header, width=camera.width, height=camera.height)
    message.distortion_model, message.d = camera.model or "plumb_bob", camera.distortion.tolist()
    message.k = camera.matrix.ravel().tolist()
    return message


def extrinsics(camera: Camera | None) -> str:
    """Where the camera sits, as the parameter of the loop closer says it."""
    if camera is None:
        return ""
    return " ".join(map(str, [*camera.mounting.position.tolist(), *camera.mounting.quaternion.tolist()]))


def with_false_closures(back_end: BackEnd, share: float, is_robust: bool) -> Trajectory:
    """Correct once more, with a share of closures between random moments mixed in."""
    random = np.random.default_rng(0)
    stamps = sorted(back_end.odometry)
    graph = PoseGraph(is_robust=is_robust)
    for stamp in stamps:
        graph.add_odometry(stamp, back_end.odometry[stamp])
    for closure in back_end.closures:
        add_message(graph, closure)
    covariance = np.diag(np.repeat([2.0, 0.01], 3))
    for _ in range(max(1, round(share * len(back_end.closures)))):
        start, end = sorted(random.choice(len(stamps), 2, replace=False))
        graph.add_closure(stamps[start], stamps[end], Pose.identity(), covariance)
    return graph.optimize()


def positions_at(trajectory: Trajectory, stamps: list[int]) -> np.ndarray:
    """Positions (N, 3) at stamps; the pose graph has fewer nodes than there are odometry messages."""
    return np.column_stack(
        [np.interp(stamps, trajectory.stamps, trajectory.positions[:, axis]) for axis in range(3)]
    )


def draw(path: Path, tracks: dict[str, np.ndarray]) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 6), layout="constrained")
    for (name, track), colour in zip(tracks.items(), ("#555555", "#d1495b", "#2a9d5c"), strict=True):
        axes.plot(*track[:, :2].T, label=name, color=colour, linewidth=1.5)
    axes.set_aspect("equal")
    axes.set(xlabel="x (m)", ylabel="y (m)")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bags", nargs="+", type=Path, metavar="BAG")
    parser.add_argument(
        "--weights", type=Path, default=PACKAGED_NETWORK, help="checkpoint (default: the package's network)"
    )
    parser.add_argument("--output", type=Path, default=Path("slam"), help="folder (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=20.0, help="images a second (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the drift (default: %(default)s)")
    usual = LoopClosureOptions()
    parser.add_argument("--min-score", type=float, default=usual.min_score, help="of the loop closer")
    parser.add_argument("--min-margin", type=float, default=usual.min_margin, help="of the loop closer")
    parser.add_argument("--verify", action="store_true", help="hold closures against geometry")
    parser.add_argument("--two-laps", action="store_true", help="every second image, then the others")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    source = Drive(options.bags, options.two_laps)
    parameters = {
        "weights": str(options.weights), "min_score": options.min_score, "min_margin": options.min_margin,
        "verification": options.verify, "extrinsics": extrinsics(source.camera),
    }  # fmt: skip
    back_end, odometry, true = drive(source, parameters, Drift(seed=options.seed), options.rate)
    stamps = list(true)
    truth = np.array([pose.position for pose in true.values()])
    drifted = np.array([pose.position for pose in odometry.values()])
    corrected = back_end.correct()
    poses = ((int(stamp), corrected[row]) for row, stamp in enumerate(corrected.stamps))
    write_tum(options.output / "corrected.tum", poses)
    tracks = {"true": truth, "odometry": drifted, "corrected": positions_at(corrected, stamps)}
    draw(options.output / "slam.png", tracks)
    closed = absolute_trajectory_error(tracks["corrected"], truth)
    verified = sum(closure.inliers > 0 for closure in back_end.closures)
    print(f"{len(back_end.closures)} loop closures over {len(stamps)} images, {verified} by geometry")
    print("absolute trajectory error")
    print(f"  odometry alone                       {absolute_trajectory_error(drifted, truth):6.2f} m")
    print(f"  with closures                        {closed:6.2f} m")
    for is_robust in (True, False):
        name = "robust" if is_robust else "not robust"
        mixed = positions_at(with_false_closures(back_end, 0.1, is_robust), stamps)
        error = absolute_trajectory_error(mixed, truth)
        print(f"  with 10 % false ones, {name:14} {error:6.2f} m")
    print(f"written: {options.output / 'corrected.tum'}, {options.output / 'slam.png'}")


if __name__ == "__main__":
    try:
        main()
    except NetvladError as problem:
        sys.exit(f"slam_backend: {problem}")
