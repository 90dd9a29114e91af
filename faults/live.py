"""What runs already: a map that is changed under the localizer, a node among hostile messages and calls."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep, time_ns
from typing import Any

import numpy as np

from faults.inputs import encoded, jpeg_of
from faults.maps import small_map
from faults.runs import catalogue
from faults.trial import Bad, Fault
from netvlad_core.data.images import read_image
from netvlad_core.data.sources import open_source
from netvlad_core.localization.geometry.verification import VerificationOptions
from netvlad_core.localization.localizer import Localizer, LocalizerOptions
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.model.backbones import PACKAGED_NETWORK
from netvlad_core.model.extractor import Extractor

# The next good image is answered within a second; a machine with other work on it may take longer.
_PATIENCE = 15.0
_GROWTH_MB = 50.0
_AT_ONCE = 5  # DDS keeps ten requests of a service


def _build(folder: Path) -> tuple[Path, list[np.ndarray]]:
    """A map with whole images, and these images."""
    drive = catalogue(folder / "drive")
    options = BuildOptions(weights=PACKAGED_NETWORK, device="cpu", store_images="full")
    place_map = build_map(open_source(drive), folder / "map", options, progress=False)
    return place_map.path, [read_image(path) for path in sorted(drive.parent.glob("*.png"))]


def open_maps(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """Each file of an open map cut, emptied, overwritten, removed, or swapped for a stranger's."""
    good, pictures = _build(folder)
    other = small_map(folder / "other")
    extractor = Extractor.load(PACKAGED_NETWORK, "cpu")

    def opened(place_map: Path, verifies: bool) -> Localizer:
        options = LocalizerOptions(verification=VerificationOptions() if verifies else None)
        return Localizer(PlaceMap.open(place_map), extractor, options)

    for verifies in (False, True):
        expected = _said(opened(good, verifies), pictures)
        for file in sorted(good.iterdir()):
            for kind in ("cut", "emptied", "zeros", "longer", "removed", "another map's"):
                if rng.random() > share:
                    continue
                work = folder / f"{file.name} {kind} {verifies}"
                shutil.copytree(good, work)
                localizer = opened(work, verifies)
                change = partial(_change, work / file.name, kind, other / file.name)
                trial = partial(_changed, localizer, change, pictures, expected)
                yield Fault(f"{file.name} {kind}{', with verification' * verifies}", trial)


def _changed(
    localizer: Localizer, change: Callable[[], None], pictures: list[np.ndarray], expected: Any
) -> None:
    change()
    found = _said(localizer, pictures)
    if found != expected:
        raise Bad(f"silent: {found} instead of {expected}")


def _change(path: Path, kind: str, stranger: Path) -> None:
    size = path.stat().st_size
    if kind == "removed":
        path.unlink()
    elif kind in ("cut", "emptied", "longer"):
        os.truncate(path, {"cut": size // 2, "emptied": 0, "longer": 2 * size}[kind])
    else:  # in place: the file stays the same one
        data = stranger.read_bytes() if kind == "another map's" and stranger.is_file() else bytes(size)
        with path.open("r+b") as file:
            file.write(data)


def _said(localizer: Localizer, pictures: list[np.ndarray]) -> list[tuple[Any, ...]]:
    answers = [localizer(picture) for picture in pictures[3:6]]
    return [
        (answer.state.name, answer.place, answer.prior and answer.prior.pose.position.round(3).tolist())
        for answer in answers
    ]


def node(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """The localizer as it runs on a robot; after each fault it must answer the next good image."""
    if find_spec("rclpy") is None:
        return
    place_map, pictures = _build(folder)
    with _Robot.at_work(place_map, pictures) as robot:
        for name, attack in robot.attacks(folder, rng, share):
            yield Fault(name, partial(robot.survives, attack), seconds=200)


class _Robot:
    """A camera, an odometer and a caller of services of a real node in a process of its own."""

    def __init__(self, camera: Any, process: subprocess.Popen[bytes], pictures: list[np.ndarray]) -> None:
        self.camera, self.process, self.pictures = camera, process, pictures

    @classmethod
    @contextmanager
    def at_work(cls, place_map: Path, pictures: list[np.ndarray]) -> Iterator[_Robot]:
        from benchmarks.node_overhead import camera_at_work, localizer

        with camera_at_work() as camera, localizer(place_map) as process:
            robot = cls(camera, process, pictures)
            robot.is_answered(60.0)
            yield robot

    def survives(self, attack: Callable[[], None]) -> None:
        before = self._megabytes()
        attack()
        self.is_answered(_PATIENCE)
        if self._megabytes() - before > _GROWTH_MB:
            raise Bad(f"growth: {self._megabytes() - before:.0f} MB in the node")

    def is_answered(self, patience: float) -> None:
        """Show good images until one is answered."""
        seen, deadline = len(self.camera.latencies), monotonic() + patience
        while len(self.camera.latencies) == seen:
            if self.process.poll() is not None:
                raise Bad(f"crash: the node has ended with status {self.process.returncode}")
            if monotonic() > deadline:
                raise Bad(f"hang: no image is answered within {patience:g} s")
            self.camera.show(self.pictures[4], 12.0)
            self.camera.answered.wait(0.3)

    def _megabytes(self) -> float:
        if self.process.poll() is not None:
            raise Bad(f"crash: the node has ended with status {self.process.returncode}")
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def _call(self, kind: Any, name: str, **fields: Any) -> Any:
        client = self.camera.create_client(kind, f"localizer/{name}")
        try:
            if not client.wait_for_service(10):
                raise Bad(f"loss: there is no service {name}")
            future, deadline = client.call_async(kind.Request(**fields)), monotonic() + 30
            while not future.done():
                if monotonic() > deadline:
                    raise Bad(f"hang: the service {name} does not answer")
                sleep(0.001)
            return future.result()
        finally:
            self.camera.destroy_client(client)

    def attacks(
        self, folder: Path, rng: np.random.Generator, share: float
    ) -> Iterator[tuple[str, Callable[[], None]]]:
        """What is done to the node, by name."""
        from nav_msgs.msg import Odometry
        from sensor_msgs.msg import CompressedImage, Image
        from std_msgs.msg import Header
        from std_srvs.srv import Trigger

        from netvlad_ros.conversions import stamp_from_nanoseconds
        from netvlad_ros.srv import LoadMap, Localize, SaveMap

        def header(stamp: int | None = None) -> Any:
            return Header(
                stamp=stamp_from_nanoseconds(time_ns() if stamp is None else stamp), frame_id="camera"
            )

        for width, height in ((16, 60_000), (60_000, 16), (0, 0), (1, 1), (4000, 16)):
            data = bytes(min(width * height, 1 << 21))
            image = Image(
                header=header(), width=width, height=height, step=width, encoding="mono8", data=data
            )
            yield f"image {width}x{height}", partial(self.camera.images.publish, image)
            yield f"~/localize of {width}x{height}", partial(self._call, Localize, "localize", image=image)
        whole = encoded("JPEG", self.pictures[0])
        for name, data in (
            ("bomb", jpeg_of(20_000, 20_000)),
            ("half", whole[: len(whole) // 2]),
            ("noise", os.urandom(5000)),
        ):
            message = CompressedImage(header=header(), format="jpeg", data=data)
            yield (
                f"~/localize of a JPEG, {name}",
                partial(self._call, Localize, "localize", compressed=message),
            )
        for stamp in (0, 1, 10**18, time_ns() + 10**15, 2**31 * 10**9 - 1):
            picture = self.pictures[1]
            rows, columns = picture.shape[:2]
            image = Image(header=header(stamp), width=columns, height=rows, step=3 * columns, encoding="rgb8")
            image.data = picture.tobytes()
            yield f"image of stamp {stamp}", partial(self.camera.images.publish, image)
        for value in (1e300, 1.7e308, float("nan"), float("inf"), -1e9):
            for field in ("position.x", "orientation.w"):
                odometry = Odometry(header=header(), child_frame_id="base_link")
                odometry.pose.pose.orientation.w = 1.0
                part, name = field.split(".")
                setattr(getattr(odometry.pose.pose, part), name, value)
                yield f"odometry, {field} = {value}", partial(self.camera.poses.publish, odometry)
        odd = folder / "odd"
        odd.mkdir()
        os.mkfifo(odd / "map.json")
        for path in (
            str(odd),
            "",
            "/",
            "/dev/zero",
            "/etc",
            "../..",
            "\n",
            "~nobody/x",
            "x" * 5000,
            str(folder / "drive"),
        ):
            yield f"~/load_map {path[:30]!r}", partial(self._call, LoadMap, "load_map", path=path)
            yield f"~/save_map {path[:30]!r}", partial(self._save, SaveMap, path)
        flood = round(2000 * share)
        yield f"{flood} images at once", partial(self._flood, flood)
        calls = round(10_000 * share)
        yield f"{calls} calls of ~/relocalize", partial(self._many, Trigger, calls)

    def _save(self, kind: Any, path: str) -> None:
        if path and self._call(kind, "save_map", path=path).success:
            raise Bad(f"loss: the map is saved to {path!r}")

    def _flood(self, count: int) -> None:
        for number in range(count):
            self.camera.show(self.pictures[number % len(self.pictures)], 12.0)

    def _many(self, kind: Any, count: int) -> None:
        client = self.camera.create_client(kind, "localizer/relocalize")
        client.wait_for_service(10)
        for start in range(0, count, _AT_ONCE):
            futures = [client.call_async(kind.Request()) for _ in range(min(_AT_ONCE, count - start))]
            deadline = monotonic() + 60
            while not all(future.done() for future in futures):
                if monotonic() > deadline:
                    raise Bad("hang: calls are not answered")
                sleep(0.002)
        self.camera.destroy_client(client)
