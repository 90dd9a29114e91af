"""Drive a bag with drifting odometry through the loop closer and this back end, over ROS 2.

  python -m examples.slam_backend drive/ --weights maps/campus/model.safetensors --output slam/

The true poses of the bag, with noise added to every step, become the odometry. Prints the absolute trajectory
error of that odometry, of the corrected trajectory, and of one for which false closures were mixed in; writes
corrected.tum and a picture. Several bags are driven one after the other, in one frame. For a drive of one's
own, run `ros2 run netvlad_ros loop_closure_node` and look at node.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
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
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from tqdm import tqdm

from netvlad_core.data.frames import Frame
from netvlad_core.data.geometry import Pose
from netvlad_core.data.sources import open_source
from netvlad_core.data.trajectory import Trajectory
from netvlad_core.evaluation.trajectory import absolute_trajectory_error
from netvlad_core.localization.loop_closure import LoopClosureOptions
from netvlad_ros.conversions import image_to_message, pose_to_message, stamp_from_nanoseconds
from netvlad_ros.executor import ThreadedExecutor
from netvlad_ros.loop_closure_node import LoopClosureNode

from .node import BackEnd, add_message
from .pose_graph import PoseGraph

matplotlib.use("Agg")
_PAUSE = 10**9  # nanoseconds from one bag to the next
_BEFORE = 0.005  # seconds for the odometry to arrive before its image


@dataclass(frozen=True)
class Drift:
    """Noise of simulated odometry: share of each step's length, radians for a metre of driving."""

    scale: float = 0.01
    turn_bias: float = np.radians(0.03)
    turn_sigma: float = np.radians(0.3)
    seed: int = 0

    def odometry(self, true: list[Pose]) -> list[Pose]:
        """Integrate the true steps with noise."""
        random = np.random.default_rng(self.seed)
        poses = [true[0]]
        for before, after in pairwise(true):
            step = before.inverse() @ after
            way = float(np.linalg.norm(step.position))
            turn = self.turn_bias * way + self.turn_sigma * np.sqrt(way) * random.normal()
            noisy = Rotation.from_rotvec([0, 0, turn]) * step.rotation
            poses.append(poses[-1] @ Pose((1 + self.scale) * step.position, noisy.as_quat()))
        return poses


@dataclass(frozen=True)
class Drive:
    """Images with their stamps and true poses, of one bag or several."""

    bags: list[Path]

    def frames(self) -> Iterator[tuple[int, Pose, Frame]]:
        """Stamp in nanoseconds, pose and the frame; frames without a pose are left out."""
        offset, last = 0, 0
        for bag in self.bags:
            first = True
            for frame in open_source(bag):
                if frame.pose is None:
                    continue
                if first:
                    offset, first = (last + _PAUSE - frame.stamp if last else 0), False
                last = frame.stamp + offset
                yield last, frame.pose, frame


def drive(
    source: Drive, closer_parameters: dict[str, str | float], drift: Drift, rate: float
) -> tuple[BackEnd, dict[int, Pose], dict[int, Pose]]:
    """Run loop closer and back end over ROS; returns the back end, odometry and true poses by stamp."""
    true = {stamp: pose for stamp, pose, _ in source.frames()}
    odometry = dict(zip(true, drift.odometry(list(true.values())), strict=True))
    rclpy.init()
    overrides = [Parameter(name, value=value) for name, value in closer_parameters.items()]
    closer = LoopClosureNode(parameter_overrides=overrides)
    back_end, player = BackEnd(), Node("player")
    images = player.create_publisher(Image, "image", qos_profile_sensor_data)
    poses = player.create_publisher(Odometry, "odom", QoSProfile(depth=1000))
    executor = ThreadedExecutor(num_threads=6)
    for node in (closer, back_end, player):
        executor.add_node(node)
    Thread(target=executor.spin, daemon=True).start()
    while poses.get_subscription_count() < 2 or not images.get_subscription_count():
        sleep(0.05)
    for stamp, _, frame in tqdm(source.frames(), "driving", total=len(true), unit="image", disable=None):
        started = monotonic()
        header = Header(stamp=stamp_from_nanoseconds(stamp), frame_id="odom")
        message = Odometry(header=header, child_frame_id="base_link")
        message.pose.pose = pose_to_message(odometry[stamp])
        poses.publish(message)
        sleep(_BEFORE)
        images.publish(image_to_message(frame.decode(), header))
        sleep(max(0.0, 1 / rate - (monotonic() - started)))
    sleep(1.0)
    executor.shutdown()
    closer.destroy_node()
    rclpy.try_shutdown()
    return back_end, odometry, true


def with_false_closures(back_end: BackEnd, share: float, is_robust: bool) -> Trajectory:
    """Correct once more, with so many closures between random moments mixed in."""
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


def write_tum(path: Path, trajectory: Trajectory) -> None:
    rows = zip(trajectory.stamps, trajectory.positions, trajectory.quaternions, strict=True)
    lines = [
        " ".join([f"{stamp / 1e9:.9f}", *(f"{number:.6f}" for number in (*position, *quaternion))])
        for stamp, position, quaternion in rows
    ]
    path.write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bags", nargs="+", type=Path, metavar="BAG")
    parser.add_argument("--weights", type=Path, required=True, help="checkpoint of the network")
    parser.add_argument("--output", type=Path, default=Path("slam"), help="folder (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=20.0, help="images a second (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the drift (default: %(default)s)")
    usual = LoopClosureOptions()
    parser.add_argument("--min-score", type=float, default=usual.min_score, help="of the loop closer")
    parser.add_argument("--min-margin", type=float, default=usual.min_margin, help="of the loop closer")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    parameters = {
        "weights": str(options.weights), "min_score": options.min_score, "min_margin": options.min_margin
    }  # fmt: skip
    back_end, odometry, true = drive(Drive(options.bags), parameters, Drift(seed=options.seed), options.rate)
    stamps = list(true)
    truth = np.array([pose.position for pose in true.values()])
    drifted = np.array([pose.position for pose in odometry.values()])
    corrected = back_end.correct()
    write_tum(options.output / "corrected.tum", corrected)
    tracks = {"true": truth, "odometry": drifted, "corrected": positions_at(corrected, stamps)}
    draw(options.output / "slam.png", tracks)
    closed = absolute_trajectory_error(tracks["corrected"], truth)
    print(f"{len(back_end.closures)} loop closures over {len(stamps)} images")
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
    main()
