"""Readers of pictures and bags under a fuzzer that looks for bytes with new ways through their code."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from benchmarks.build_map_scaling import write_drive
from faults.inputs import FORMATS, encoded, scene
from faults.runs import ROOT
from faults.trial import Bad, Fault
from netvlad_core.data.bags.bag_file import Bag

_SECONDS = 20.0
_ROOM_MB, _PATIENCE = 1500, 10  # of one input, beside the reader itself; seconds
_LIMITS = [f"-rss_limit_mb={_ROOM_MB}", f"-timeout={_PATIENCE}", "-max_len=65536"]


def fuzzed(rng: np.random.Generator, folder: Path, share: float) -> Iterator[Fault]:
    """Each reader for twenty seconds, from small whole files on; needs the package atheris."""
    if find_spec("atheris") is None:
        print("fuzzed: the package atheris is not installed, so nothing is tried")
        return
    for reader, write in {"picture": _pictures, "mcap": _mcap, "db3": _sqlite}.items():
        corpus = folder / reader
        corpus.mkdir()
        write(corpus)
        seconds, seed = max(1, round(_SECONDS * share)), int(rng.integers(1, 2**31))
        yield Fault(
            f"reader of {reader} for {seconds} s",
            partial(_fuzz, reader, corpus, seconds, seed),
            seconds + 120,
        )


def _fuzz(reader: str, corpus: Path, seconds: int, seed: int) -> None:
    found = corpus.with_name(f"{reader}-")
    command = [sys.executable, "-m", "faults.fuzzer", reader, str(corpus), *_LIMITS]
    command += [f"-max_total_time={seconds}", f"-seed={seed}", f"-artifact_prefix={found}"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace")
    if process.returncode == 0:
        runs = re.search(r"Done (\d+) runs", process.stderr)
        print(f"    reader of {reader}: {runs[1] if runs else 'no'} inputs")
        return
    what = re.search(r"Uncaught Python exception: ===\n(.*)|ERROR: libFuzzer: (.*)", process.stderr)
    said = (what[1] or what[2]) if what else process.stderr[-200:]
    data = next((path.read_bytes() for path in found.parent.glob(f"{found.name}*")), b"")
    raise Bad(f"crash: {said}; {len(data)} bytes: {data[:40]!r}")


def _pictures(corpus: Path) -> None:
    for kind in FORMATS:
        (corpus / kind).write_bytes(encoded(kind, scene(24, 32)))


def _mcap(corpus: Path) -> None:
    write_drive(corpus.with_name("drive"), [scene(24, 32)], 3)
    (file,) = corpus.with_name("drive").glob("*.mcap")
    file.rename(corpus / file.name)


def _sqlite(corpus: Path) -> None:
    write_drive(corpus.with_name("source"), [scene(24, 32)], 3)
    copy, store = corpus.with_name("copy"), get_typestore(Stores.ROS2_HUMBLE)
    with (
        Bag(corpus.with_name("source")) as bag,
        Writer(copy, version=9, storage_plugin=StoragePlugin.SQLITE3) as new,
    ):
        kinds = {name: topic.type.replace("/", "/msg/") for name, topic in bag.topics.items()}
        topics = {
            name: new.add_connection(name, kind, typestore=store)
            for name, kind in kinds.items()
            if kind in store.fielddefs
        }
        for raw in bag.messages(topics):
            new.write(topics[raw.topic], raw.received, raw.data)
    (file,) = copy.glob("*.db3")
    file.rename(corpus / file.name)
