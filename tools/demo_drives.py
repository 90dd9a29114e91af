"""Render the two short drives inside the package, netvlad_core/commands/demo_drives.zip, anew.

A part of the town of `make demo`, at noon and in the evening; a picture of 160x120 each three metres, with
its pose.

  python -m tools.demo_drives
"""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile, ZipInfo

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from netvlad_core.commands.demo_map import DRIVES
from netvlad_core.data.frames import Frame
from netvlad_core.data.sources import open_source
from netvlad_core.data.trajectory import seconds
from town.drives import FIRST, SECOND_DRIVE, write_drive

_LENGTH, _STEP = 135.0, 3.0  # metres
_SIZE, _QUALITY = (160, 120), 50


def main() -> None:
    with TemporaryDirectory() as text, ZipFile(DRIVES, "w") as archive:
        for name, drive in (("noon", FIRST), ("evening", SECOND_DRIVE)):
            write_drive(Path(text) / name, drive, length=_LENGTH, size=(320, 240), progress=True)
            _add(archive, name, list(open_source(Path(text) / name)))
    print(f"{DRIVES}: {DRIVES.stat().st_size / 1e3:.0f} kB")


def _add(archive: ZipFile, name: str, frames: list[Frame]) -> None:
    """Write every frame that is a step further than the last one, and a catalogue of them."""
    table = StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["image", "x", "y", "z", "yaw", "stamp"])
    last, count = np.full(3, np.inf), 0
    for frame in frames:
        if frame.pose is None or np.linalg.norm(frame.pose.position - last) < _STEP:
            continue
        last = frame.pose.position
        picture = cv2.resize(frame.decode(), _SIZE, interpolation=cv2.INTER_AREA)[..., ::-1]
        _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        image, count = f"{count:03}.jpg", count + 1
        # A fixed date: the same drives make the same file.
        archive.writestr(ZipInfo(f"{name}/{image}"), jpeg.tobytes())
        yaw = Rotation.from_quat(frame.pose.quaternion).as_euler("ZYX")[0]
        rows.writerow([image, *(f"{value:.2f}" for value in (*last, yaw)), seconds(frame.stamp)])
    archive.writestr(ZipInfo(f"{name}/catalogue.csv"), table.getvalue())


if __name__ == "__main__":
    main()
