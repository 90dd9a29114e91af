"""Size and smoothness of a report page with thousands of queries, in a Chromium that is installed.

The drive is localized again and again until there are enough queries. Frames a second are counted by
requestAnimationFrame while the list scrolls, while the trajectory moves and zooms, and while one query after
the other is chosen.

    python -m benchmarks.report_page demo_output/map demo_output/drives/evening
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks._measure import parser
from netvlad_core import Localizer, __version__, open_source
from netvlad_core.data.frames import Frame, FrameSource
from netvlad_core.evaluation.report.page import drive_report, page_text

_PAUSE = 10 * 10**9  # nanoseconds between two rounds
_PICTURES = 6.5e6  # the default of `netvlad report`
# What is done in each frame, by name.
_ACTIONS = {
    "list scrolls": "list.box.scrollTop = (frame * 173) % (list.order.length * ROW - 600)",
    "trajectory moves": "trajectory.middle[0] += Math.sin(frame / 9) * 6 / trajectory.scale[0]; redraw()",
    "trajectory zooms": "trajectory.zoom(frame % 60 < 30 ? 1.05 : 1 / 1.05, 200, 150)",
    "queries are chosen": "step(1)",
}
_COUNT_FRAMES = """([action, seconds]) => new Promise((done) => {
    const act = new Function("frame", action);
    const times = [];
    const tick = (now) => {
        times.push(now);
        if (now - times[0] < 1000 * seconds) { act(times.length); requestAnimationFrame(tick); return; }
        const steps = times.slice(1).map((time, at) => time - times[at]).sort((a, b) => a - b);
        const rate = (1000 * steps.length) / (now - times[0]);
        done([rate, steps[Math.floor(0.95 * steps.length)], steps.at(-1)]);
    };
    requestAnimationFrame(tick);
})"""


class Rounds:
    """A source whose frames come again and again."""

    def __init__(self, source: FrameSource, count: int) -> None:
        self._source, self._count = source, count

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Frame]:
        frames = list(self._source)
        length = frames[-1].stamp - frames[0].stamp + _PAUSE
        for number in range(self._count):
            turn, at = divmod(number, len(frames))
            frame = frames[at]
            yield replace(frame, name=f"{frame.name}.{turn}", stamp=frame.stamp + turn * length)


def main() -> int:
    options = _arguments()
    if options.map is not None:
        values = drive_report(
            Localizer.open(options.map),
            Rounds(open_source(options.source), options.queries),
            25.0,
            _PICTURES,
            Counter(),
        )
        options.output.write_text(page_text({**values, "version": __version__}), encoding="utf-8")
    print(f"{options.output}: {options.output.stat().st_size / 1e6:.2f} MB")
    for name, (rate, high, worst) in measure(options.output, options.seconds).items():
        print(f"{name:20} {rate:5.1f} frames/s, 95 % of them within {high:.0f} ms, worst {worst:.0f} ms")
    return 0


def measure(page: Path, seconds: float) -> dict[str, list[float]]:
    """For each action frames a second, the 95 % quantile and the largest of the times between frames, ms."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 800}, bypass_csp=True)
        tab.goto(page.absolute().as_uri())
        tab.wait_for_selector(".row")
        return {name: tab.evaluate(_COUNT_FRAMES, [action, seconds]) for name, action in _ACTIONS.items()}


def _arguments() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument(
        "map", type=Path, nargs="?", help="map folder; without one --output is measured as it is"
    )
    made.add_argument("source", type=Path, nargs="?", help="drive to localize")
    made.add_argument("--queries", type=int, default=5000, help="(default: %(default)s)")
    made.add_argument("--seconds", type=float, default=5.0, help="of each action (default: %(default)g)")
    made.add_argument("--output", type=Path, default=Path("report_5000.html"), help="(default: %(default)s)")
    return made.parse_args()


if __name__ == "__main__":
    sys.exit(main())
