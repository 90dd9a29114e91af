"""Pictures of mistakes: the query, its wrong best match, and the nearest correct image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from netvlad_core.data.images import read_image, resize_to_fit
from netvlad_core.data.place_sets.place_set import PlaceImages
from netvlad_core.evaluation.place_recognition import SetResult
from netvlad_core.files import written_whole

# Pixels of the longer side; enough to see why, small enough to send around.
_LONGEST = 480
PICTURE_MARK = "netvlad evaluate-set"


def worst_failures(result: SetResult, count: int) -> list[int]:
    """Queries that have a correct place but a wrong best match, the most similar one first."""
    wrong = np.flatnonzero(result.recall.has_positive & (result.recall.first_correct > 0))
    similarity = np.array([result.similarities[query][0] for query in wrong])
    return [int(query) for query in wrong[np.argsort(-similarity, kind="stable")][:count]]


def draw_failure(result: SetResult, query: int, path: Path) -> None:
    """Write one mistake as a picture: query, wrong best match and nearest correct image, side by side."""
    from matplotlib.figure import Figure

    places = result.places
    correct = result.positives[query]
    ranked = result.ranked[query]
    by_distance = [away for row in correct if (away := result.distance(query, int(row))) is not None]
    if by_distance:
        shown, kind = int(correct[np.argmin(by_distance)]), "nearest correct image"
    else:  # the one that looks most alike
        shown, kind = int(np.concatenate([ranked[np.isin(ranked, correct)], correct])[0]), "correct image"
    found = np.flatnonzero(ranked == shown)
    rank = f"rank {found[0] + 1}" if len(found) else f"not among the first {len(ranked)}"
    similarity = f"similarity {result.similarities[query][0]:.3f}"
    columns = (
        ("query", "black", places.queries, query, ""),
        ("best match: wrong", "firebrick", places.database, int(ranked[0]), similarity),
        (kind, "darkgreen", places.database, shown, rank),
    )
    figure = Figure(figsize=(13.5, 4.4), layout="constrained")
    for axes, (title, colour, images, row, remark) in zip(figure.subplots(1, 3), columns, strict=True):
        axes.imshow(resize_to_fit(read_image(images.path(row)), _LONGEST))
        away = None if images is places.queries else result.distance(query, row)
        remarks = [remark] if away is None else [remark, f"{away:.1f} m away"]
        axes.set_title(title, color=colour, fontsize=15, fontweight="bold")
        axes.set_xlabel("\n".join([_short(images, row), ", ".join(filter(None, remarks))]), fontsize=11)
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set(color=colour, linewidth=3)
    with written_whole(path) as partial:
        figure.savefig(partial, dpi=90, metadata={"Software": PICTURE_MARK})


def _short(images: PlaceImages, row: int) -> str:
    name = images.names[row]
    return name if len(name) <= 48 else f"...{name[-45:]}"
