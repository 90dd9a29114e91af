"""Inject faults of every class, and say what was survived.

example:
  python -m faults map_json pictures --seed 3
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from faults import bags, care, disks, foreign, fuzzing, inputs, live, maps, networks, runs, training
from faults.trial import FaultClass, Report, run

_of_nodes: list[FaultClass] = []
if find_spec("rclpy") is not None:
    from faults import hostile, nodes

    _of_nodes = [
        hostile.node,
        nodes.clocks,
        nodes.restarts,
        nodes.two_nodes,
        nodes.node_saves,
        nodes.services,
    ]

_of_fleets: list[FaultClass] = []
if find_spec("lancedb") is not None:
    from faults import fleets

    _of_fleets = [fleets.fleets]

CLASSES: dict[str, FaultClass] = {
    function.__name__: function
    for function in (
        maps.map_json, maps.map_files, maps.map_fields, maps.map_contents, maps.map_specials,
        inputs.pictures, inputs.bombs, inputs.messages, inputs.texts, bags.bags, bags.bag_bombs,
        fuzzing.fuzzed,
        networks.networks, networks.pickles, networks.onnx_of_others, foreign.foreign_networks,
        live.open_maps, *_of_nodes, runs.killed, care.care, runs.together, runs.full_disks, runs.strangers,
        disks.small_disks, disks.saves, training.trainings, training.states, training.tables,
        *_of_fleets,
    )
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(
        "python -m faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("classes", nargs="*", metavar="CLASS", help=f"of {', '.join(CLASSES)} (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", type=float, default=1.0, help="of the faults (default: %(default)s)")
    parser.add_argument("--only", type=int, metavar="K", help="the fault of this number in each class")
    parser.add_argument("--each", action="store_true", help="tell what each fault of a node cost it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the outcome")
    options = parser.parse_args()
    if unknown := set(options.classes) - CLASSES.keys():
        parser.error(f"no class {', '.join(sorted(unknown))}; there are {', '.join(CLASSES)}")
    logging.disable(logging.WARNING)
    print(f"{'class':<18}{'injected':>9}{'survived':>9}{'refused':>9}{'bad':>5}{'seconds':>9}", flush=True)
    reports = []
    for name in options.classes or CLASSES:
        with TemporaryDirectory() as folder:
            report = run(name, CLASSES[name], options.seed, Path(folder), options.share, options.only)
        reports.append(report)
        print(_line(report), flush=True)
        for fault, cost in report.costs if options.each else ():
            print(f"    {cost.seconds:6.2f} s {cost.megabytes:6.1f} MB  {fault}")
        for kind, fault, detail in report.bad[:10]:
            print(f"    {kind}: {fault}: {detail}")
    total = Report("all", options.seed)
    for report in reports:
        total.injected += report.injected
        total.refused += report.refused
        total.seconds += report.seconds
        total.bad += report.bad
    print(_line(total))
    if options.json:
        options.json.write_text(json.dumps([asdict(report) for report in reports], indent=1) + "\n")
    return 1 if total.bad else 0


def _line(report: Report) -> str:
    survived = report.injected - len(report.bad)
    costs = [cost for _, cost in report.costs]
    said = [report.kinds] if report.bad else []
    if costs:
        seconds, megabytes = (max(getattr(c, name) for c in costs) for name in ("seconds", "megabytes"))
        said.append(f"the next image answered within {seconds:.2f} s, {megabytes:.1f} MB more")
    return (
        f"{report.name:<18}{report.injected:>9}{survived:>9}{report.refused:>9}{len(report.bad):>5}"
        f"{report.seconds:>9.1f}  {'; '.join(said)}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
