"""Rules that turn what came in during the last seconds into problems with their cause."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rclpy.node import Node

from netvlad_core.data.judges.clocks import clock_difference
from netvlad_ros.diagnostics import WINDOW, Problem, Recent

_IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
# Shares of messages of the last seconds.
_MOST = 0.5
_NEARLY_ALL = 0.9
_AGAIN_AND_AGAIN = 0.2
_FEWEST = 3  # messages from which a share says something
# Seconds within which calibration and static transforms come that are published at all.
_SETTLED = 3.0
# A clock that is off by this, and no odometry to compare with, is not a delay.
_OTHER_CLOCK = 10.0


@dataclass(frozen=True)
class Topic:
    """A topic as the node hears it.

    Attributes
    ----------
    name : fully qualified.
    publishers : number of them.
    recent : what became of its messages in the last seconds.
    lag : usual seconds from stamp to arrival, None without messages.
    """

    name: str
    publishers: int
    recent: Recent
    lag: float | None


@dataclass(frozen=True)
class InputState:
    """The input of a node at one moment.

    Attributes
    ----------
    joined : images that got odometry, and those left without while odometry is published.
    silence, image_timeout : seconds since the last image, and those that are allowed.
    unstamped : number of the newest images in a row that had no stamp.
    age : seconds since the input was opened.
    odometry_remarks : sentences about the frames of the odometry, empty ones included.
    odometry_wait : seconds for which an image waits for its odometry.
    missing_calibration : why there is no calibration though it is asked for, otherwise empty.
    """

    images: Topic
    odometry: Topic
    joined: Recent
    silence: float
    image_timeout: float
    unstamped: int
    age: float
    odometry_remarks: list[str]
    odometry_wait: float
    missing_calibration: str


def problems_of(state: InputState, node: Node) -> list[Problem]:
    """Name all that is wrong with the input; the node is asked what topics it sees."""
    if state.silence >= state.image_timeout:
        seen = _image_topics(node)
        text = f"no image on {state.images.name} for {state.silence:.0f} s; image topics seen: {seen}"
        return [Problem("no images", text)]
    return [*_of_images(state), *_of_clocks(state), *_of_odometry(state), *_of_calibration(state)]


def _of_images(state: InputState) -> Iterator[Problem]:
    yield from _two_publishers(state.images)
    recent = state.images.recent
    if _exceeds(recent, _MOST):
        text = f"{_left_out(recent)} images of the last {WINDOW:.0f} s left out: {recent.main_reason}"
        yield Problem("images left out", text, is_fatal=recent.share >= _NEARLY_ALL)
    elif recent.last_kind:
        text = f"the last image was left out: {recent.sentences[recent.last_kind]}"
        yield Problem(f"image left out: {recent.last_kind}", text)
    if state.unstamped >= _FEWEST:
        text = (
            f"images on {state.images.name} have no stamp: answers carry their time of arrival instead; have "
            "the camera driver set header.stamp"
        )
        yield Problem("images without a stamp", text)


def _of_clocks(state: InputState) -> Iterator[Problem]:
    images, odometry = state.images, state.odometry
    if images.lag is None:
        return
    if difference := clock_difference(images.lag, odometry.lag):
        text = (
            f"images are stamped by another clock than the odometry: {images.name} is {_behind(difference)} "
            f"{odometry.name}; both are joined by their time of arrival; synchronize the clocks"
        )
    elif odometry.lag is None and abs(images.lag) > _OTHER_CLOCK:
        text = (
            f"the stamps of {images.name} are {_behind(images.lag)} the clock of this node; set the clock of "
            "the camera, or set use_sim_time if a recording or a simulation plays"
        )
    else:
        return
    yield Problem("clocks differ", text)


def _of_odometry(state: InputState) -> Iterator[Problem]:
    odometry, joined = state.odometry, state.joined
    if not any("two publishers" in remark for remark in state.odometry_remarks):
        yield from _two_publishers(odometry)
    for remark in filter(None, state.odometry_remarks):
        yield Problem(remark[:20], f"{odometry.name}: {remark}")
    recent = odometry.recent
    if _exceeds(recent, _AGAIN_AND_AGAIN):
        text = f"{_left_out(recent)} messages on {odometry.name} left out: {recent.main_reason}"
        yield Problem("odometry left out", text)
    if _exceeds(joined, _MOST):
        text = f"{odometry.name} {_lateness(state)}: {_left_out(joined)} images without it"
        yield Problem("images without odometry", text)


def _exceeds(recent: Recent, share: float) -> bool:
    """Whether more than this share of enough messages is left out."""
    return recent.total >= _FEWEST and recent.share > share


def _left_out(recent: Recent) -> str:
    return f"{recent.left_out.total()} of {recent.total}"


def _lateness(state: InputState) -> str:
    images, odometry = state.images.lag, state.odometry.lag
    late = 0.0 if images is None or odometry is None else odometry - images
    if late > state.odometry_wait:
        return f"arrives {late:.2f} s later than its image (raise odometry_wait, {state.odometry_wait:.2f} s)"
    return "has no poses at the stamps of the images"


def _of_calibration(state: InputState) -> Iterator[Problem]:
    if state.missing_calibration and state.age > _SETTLED:
        yield Problem("no calibration", state.missing_calibration)


def _two_publishers(topic: Topic) -> Iterator[Problem]:
    if topic.publishers > 1:
        text = f"{topic.publishers} publishers on {topic.name}; give each publisher a topic of its own"
        yield Problem(f"publishers on {topic.name}", text)


def _behind(seconds: float) -> str:
    return f"{abs(seconds):.0f} s {'behind' if seconds > 0 else 'ahead of'}"


def _image_topics(node: Node) -> str:
    """List the image topics that have a publisher, but for the pictures that localizers draw."""
    seen = [
        f"{name} ({kind.replace('/msg/', '/')})"
        for name, kinds in node.get_topic_names_and_types()
        for kind in kinds
        if kind in _IMAGE_TYPES and not name.endswith("/match_image") and node.count_publishers(name)
    ]
    return ", ".join(seen) or "none"
