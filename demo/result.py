"""What the drive showed: figures for the terminal and one picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure

from demo.play import Recording
from netvlad_core.data.frames import Frame
from netvlad_core.data.geometry import Pose
from netvlad_core.data.radii import CORRECT_WITHIN, POSITIVE_WITHIN
from netvlad_core.localization.pose_prior import PoseEstimate
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_ros.msg import PlaceMatches

_INK, _MAP, _RIGHT, _WRONG = "#222831", "#9aa3ad", "#2a9d5c", "#d1495b"
_STATES = {
    PlaceMatches.LOST: "LOST",
    PlaceMatches.AMBIGUOUS: "AMBIGUOUS",
    PlaceMatches.LOCALIZED: "LOCALIZED",
}
_PAIRS = 4
_MOST_LINES = 150


@dataclass(frozen=True)
class Answer:
    """One answered image held against the truth.

    Attributes
    ----------
    frame : image of the second drive, with its true pose.
    place, similarity : best match.
    distance : metres from the true position to the place.
    pose_error : metres from the true position to the published pose, or None where none was published.
    inside : whether the true position lies in the 95 % ellipse (x, y) of the published pose.
    """

    frame: Frame
    place: int
    similarity: float
    state: int
    distance: float
    pose_error: float | None
    inside: bool | None


def compare(frames: list[Frame], recording: Recording, place_map: PlaceMap) -> list[Answer]:
    """Hold the recorded answers against the true poses of the images."""
    answers = []
    for frame in frames:
        message = recording.matches.get(frame.stamp)
        if message is None or frame.pose is None:
            continue
        best = message.matches[0]
        truth = frame.pose.position
        distance = float(np.linalg.norm(place_map.poses[best.place_id, :3] - truth))
        error, inside = None, None
        if published := recording.poses.get(frame.stamp):
            position = published.pose.pose.position
            pose = Pose.from_xyz_yaw(position.x, position.y, position.z)
            error = float(np.linalg.norm(pose.position - truth))
            covariance = np.array(published.pose.covariance).reshape(6, 6)
            inside = PoseEstimate(pose, covariance).holds(truth[:2])
        answers.append(Answer(frame, best.place_id, best.similarity, message.state, distance, error, inside))
    return answers


def summary(answers: list[Answer], recording: Recording) -> str:
    """Figures in a few lines of at most 80 columns."""
    played, answered = len(recording.played), len(recording.matches)
    lines = [f"images played {played}, answered {answered} (a newer image overtakes one that waits)"]
    for title, radius in (("Recall@1", CORRECT_WITHIN), ("", POSITIVE_WITHIN), ("", POSITIVE_WITHIN / 2)):
        lines.append(f"{title:14}{_share([a.distance <= radius for a in answers])} within {radius:g} m")
    states = [f"{sum(a.state == state for a in answers)} {name}" for state, name in _STATES.items()]
    lines.append(f"states        {', '.join(states)}")
    errors = np.array([a.pose_error for a in answers if a.pose_error is not None])
    if len(errors):
        median, high = np.quantile(errors, [0.5, 0.95])
        lines.append(
            f"pose error    median {median:.2f} m, 95 % below {high:.2f} m, largest {errors.max():.2f} m"
        )
        inside = [a.inside for a in answers if a.inside is not None]
        lines.append(f"covariance    {_share(inside)} of the true positions inside the 95 % ellipse")
    if recording.latency:
        median, high = np.quantile(list(recording.latency.values()), [0.5, 0.95])
        lines.append(
            f"latency       median {1e3 * median:.0f} ms, 95 % below {1e3 * high:.0f} ms, image to matches"
        )
    return "\n".join(lines)


def _share(hits: list[bool]) -> str:
    return f"{100 * sum(hits) / max(1, len(hits)):5.1f} %"


def draw(answers: list[Answer], place_map: PlaceMap, title: str, path: Path) -> None:
    """Draw both trajectories with match lines, and pairs of query and place, as a PNG."""
    figure = plt.figure(figsize=(11, 9), dpi=110, layout="constrained")
    above = figure.add_subfigure(figure.add_gridspec(2, 1, height_ratios=[1.5, 1])[0])
    below = figure.add_subfigure(figure.add_gridspec(2, 1, height_ratios=[1.5, 1])[1])
    figure.suptitle(title, color=_INK, fontsize=13)
    _draw_paths(above.subplots(), answers, place_map)
    _draw_pairs(below, answers, place_map)
    figure.savefig(path)
    plt.close(figure)


def _draw_paths(axes: Axes, answers: list[Answer], place_map: PlaceMap) -> None:
    places = place_map.poses[:, :2]
    truth = np.array([a.frame.pose.position[:2] for a in answers if a.frame.pose])
    for index in range(0, len(answers), max(1, len(answers) // _MOST_LINES)):
        answer = answers[index]
        color = _RIGHT if answer.distance <= CORRECT_WITHIN else _WRONG
        line = np.array([truth[index], places[answer.place]])
        axes.plot(*line.T, color=color, linewidth=0.9, alpha=0.8, zorder=1)
    axes.plot(*places.T, ".", color=_MAP, markersize=5, label="places of the map (first drive)", zorder=2)
    axes.plot(*truth.T, ".", color=_INK, markersize=3, label="second drive, true positions", zorder=3)
    axes.plot([], [], color=_RIGHT, label=f"best match, within {CORRECT_WITHIN:g} m")
    axes.plot([], [], color=_WRONG, label="best match, wrong")
    axes.set(xlabel="x (m)", ylabel="y (m)", aspect="equal")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=2, frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_pairs(figure: SubFigure, answers: list[Answer], place_map: PlaceMap) -> None:
    if not answers:
        return
    chosen = [answers[i] for i in np.linspace(0, len(answers) - 1, _PAIRS + 2).astype(int)[1:-1]]
    columns = figure.subplots(2, len(chosen), squeeze=False).T
    for (query_axes, place_axes), answer in zip(columns, chosen, strict=True):
        query_axes.imshow(answer.frame.decode())
        image = place_map.image(answer.place)
        place_axes.imshow(np.full((3, 4, 3), 220, np.uint8) if image is None else image)
        color = _RIGHT if answer.distance <= CORRECT_WITHIN else _WRONG
        for axes, text in (
            (query_axes, "query"),
            (place_axes, f"place {answer.place}, {answer.similarity:.2f}, {answer.distance:.1f} m away"),
        ):
            axes.set_title(text, fontsize=9, color=_INK, pad=3)
            axes.set_xticks([])
            axes.set_yticks([])
            for spine in axes.spines.values():
                spine.set(color=color, linewidth=2)
