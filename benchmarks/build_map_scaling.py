"""Memory and speed of build-map on a drive and on one twenty times as long, against the network alone."""

from __future__ import annotations

import argparse
import resource
import sys
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_ROOT))

from netvlad_core.data.sources import open_source  # noqa: E402
from netvlad_core.mapping.builder import BuildOptions, build_map  # noqa: E402
from netvlad_core.model.checkpoints import save_checkpoint  # noqa: E402
from netvlad_core.model.extractor import Extractor  # noqa: E402
from netvlad_core.model.fitting import fit_network  # noqa: E402


def write_drive(path: Path, images: list[np.ndarray], repeats: int) -> None:
    """Write a bag of JPEG images, a metre and 0.2 s apart, the same ones again and again."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    types = store.types
    encoded = [cv2.imencode(".jpg", image[..., ::-1])[1].ravel() for image in images]
    zero = types["geometry_msgs/msg/Vector3"](0.0, 0.0, 0.0)
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topics = {
            name: writer.add_connection(name, kind, typestore=store)
            for name, kind in (
                ("/image/compressed", "sensor_msgs/msg/CompressedImage"),
                ("/odom", "nav_msgs/msg/Odometry"),
            )
        }
        for index in range(repeats * len(images)):
            stamp = 10**18 + index * 200_000_000
            time = types["builtin_interfaces/msg/Time"](stamp // 10**9, stamp % 10**9)
            header = types["std_msgs/msg/Header"](time, "odom")
            pose = types["geometry_msgs/msg/Pose"](
                types["geometry_msgs/msg/Point"](float(index), 0.0, 0.0),
                types["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0),
            )
            covariance = np.zeros(36)
            messages = {
                "/odom": types["nav_msgs/msg/Odometry"](
                    header,
                    "base_link",
                    types["geometry_msgs/msg/PoseWithCovariance"](pose, covariance),
                    types["geometry_msgs/msg/TwistWithCovariance"](
                        types["geometry_msgs/msg/Twist"](zero, zero), covariance
                    ),
                ),
                "/image/compressed": types["sensor_msgs/msg/CompressedImage"](
                    header, "jpeg", encoded[index % len(images)]
                ),
            }
            for name, message in messages.items():
                raw = store.serialize_cdr(message, topics[name].msgtype)
                writer.write(topics[name], stamp, raw)


def measure_build(bag: Path, weights: Path, output: Path) -> tuple[float, float]:
    """Frames a second, opening included, and peak memory in MB of the process."""
    started = monotonic()
    place_map = build_map(
        open_source(bag), output, BuildOptions(weights=weights, device="cpu"), progress=False
    )
    rate = len(place_map) / (monotonic() - started)
    return rate, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_network(images: list[np.ndarray], weights: Path, repeats: int) -> float:
    """Images a second of the extractor alone on decoded images."""
    extractor = Extractor.load(weights, "cpu")
    extractor(images[:8])
    started = monotonic()
    for _ in range(repeats):
        extractor(images)
    return repeats * len(images) / (monotonic() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=32, help="of the short drive (default: %(default)s)")
    options = parser.parse_args()
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (options.frames, 30, 40, 3), np.uint8)
    images = [cv2.resize(image, (640, 480), interpolation=cv2.INTER_CUBIC) for image in coarse]
    with TemporaryDirectory() as text:
        folder = Path(text)
        weights = folder / "network.safetensors"
        save_checkpoint(fit_network(lambda: iter(images), device="cpu"), weights)
        results = {}
        for name, repeats in (("short", 1), ("long", 20)):
            write_drive(folder / name, images, repeats)
            # A fresh process each, whose peak memory is its own.
            with get_context("spawn").Pool(1) as pool:
                arguments = (folder / name, weights, folder / f"map_{name}")
                results[name] = pool.apply(measure_build, arguments)
        with get_context("spawn").Pool(1) as pool:
            alone = pool.apply(measure_network, (images, weights, 10))
    (short_rate, short_memory), (long_rate, long_memory) = results["short"], results["long"]
    print(f"{options.frames} frames    {short_rate:6.1f} frames/s  peak {short_memory:6.0f} MB")
    print(f"{20 * options.frames} frames   {long_rate:6.1f} frames/s  peak {long_memory:6.0f} MB")
    print(f"network alone {alone:6.1f} images/s")
    print(f"ratios: memory long/short {long_memory / short_memory:.2f}, speed long/short", end=" ")
    print(f"{long_rate / short_rate:.2f}, long/network alone {long_rate / alone:.2f}")


if __name__ == "__main__":
    main()
