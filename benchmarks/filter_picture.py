"""What the sequence filter makes of a drive: similarities beside belief, image by image, drawn as a picture.

Rows are the places of a map in their order, columns the images of a drive. The bar below has the state.

example:
  python -m benchmarks.filter_picture maps/corridor evening.csv --output filter.png
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from benchmarks._measure import parser
from netvlad_core.data.sources import open_source
from netvlad_core.localization.localizer import Localizer
from netvlad_core.localization.tracking.sequence_filter import State

# LOST, AMBIGUOUS, LOCALIZED
_COLOURS = ("#d1495b", "#edae49", "#2a9d5c")


def follow(map_path: Path, drive: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Similarity and belief, (places, images) each, and the states (images,)."""
    localizer = Localizer.open(map_path)
    places = np.asarray(localizer.place_map.whole_descriptors(), np.float32)
    columns = []
    for frame in open_source(drive):
        seen = localizer.observe(frame.decode(), frame.stamp, odometry=frame.pose)
        answer = localizer.track(seen)
        columns.append((places @ seen.descriptor, localizer.place_probabilities(), answer.state))
    similarities, beliefs, states = zip(*columns)
    return np.array(similarities).T, np.array(beliefs).T, np.array(states)


def draw(similarities: np.ndarray, beliefs: np.ndarray, states: np.ndarray, path: Path) -> None:
    figure, axes = plt.subplots(
        2, 2, figsize=(10, 5.2), dpi=110, height_ratios=[18, 1], sharex=True, layout="constrained"
    )
    pictures = (
        ("similarity of each image to each place", similarities, "viridis"),
        ("what the filter believes", np.sqrt(beliefs), "magma"),  # the root shows what is small
    )
    for (above, below), (title, values, colours) in zip(axes.T, pictures):
        above.imshow(values, aspect="auto", origin="lower", cmap=colours, interpolation="nearest")
        above.set(title=title, ylabel="place")
        below.set(yticks=[], xlabel="image")
    rows = np.argmax(similarities, axis=0)
    axes[0, 0].plot(rows, ".", color="white", markersize=3, label="most similar place")
    axes[0, 0].legend(loc="upper left", fontsize=8)
    axes[1, 1].imshow(states[None], aspect="auto", cmap=ListedColormap(_COLOURS), vmin=0, vmax=2)
    names = [Patch(color=colour, label=state.name) for colour, state in zip(_COLOURS, State)]
    axes[0, 1].legend(handles=names, loc="upper left", fontsize=8)
    axes[1, 0].set_axis_off()
    figure.savefig(path)
    plt.close(figure)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("map", type=Path)
    arguments.add_argument("drive", type=Path)
    arguments.add_argument("--output", type=Path, required=True)
    options = arguments.parse_args()
    draw(*follow(options.map, options.drive), options.output)


if __name__ == "__main__":
    main()
