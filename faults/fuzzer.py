"""One reader under atheris, until its time is over or a fault is found: see fuzzing.py.

A program of its own, since libFuzzer ends the process:
python -m faults.fuzzer READER CORPUS [OPTION OF LIBFUZZER ...]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

with atheris.instrument_imports(include=["netvlad_core.data", "rosbags", "PIL", "yaml"]):
    from faults.inputs import decoded
    from faults.trial import MOST_SAID, Bad
    from netvlad_core.data.sources import open_source

from netvlad_core.errors import ImageError, NetvladError

# Messages of a bag that are read; a few hundred bytes may hold any number of empty ones.
_MOST_FRAMES = 100


def main() -> None:
    reader, *arguments = sys.argv[1:]
    with TemporaryDirectory(dir="/dev/shm") as folder:
        read = _bag_reader(Path(folder, f"bag.{reader}")) if reader != "picture" else decoded
        atheris.Setup([sys.argv[0], *arguments], _accepting(read))
        atheris.Fuzz()


def _accepting(read: Callable[[bytes], object]) -> Callable[[bytes], None]:
    def one(data: bytes) -> None:
        try:
            read(data)
        except NetvladError as error:
            if "\n" in str(error) or len(str(error)) > MOST_SAID:
                raise Bad(f"unreadable: {error}") from error

    return one


def _bag_reader(path: Path) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        path.write_bytes(data)
        for number, frame in enumerate(open_source(path)):
            try:
                frame.decode()
            except ImageError:
                continue
            if number == _MOST_FRAMES:
                return

    return read


if __name__ == "__main__":
    main()
