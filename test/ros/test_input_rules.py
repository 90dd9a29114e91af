"""What came in during the last seconds becomes problems that name topic, figures and cause."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("rclpy")
from netvlad_ros.diagnostics import Problem, Recent
from netvlad_ros.input_rules import InputState, Topic, problems_of


def _recent(used: int = 20, left_out: int = 0, last_kind: str = "") -> Recent:
    return Recent(used + left_out, Counter({"dark": left_out}), {"dark": "the image is dark"}, last_kind)


_FINE = InputState(
    images=Topic("/image", 1, _recent(), 0.05),
    odometry=Topic("/odom", 1, _recent(), 0.01),
    joined=_recent(),
    silence=0.1,
    image_timeout=5.0,
    unstamped=0,
    age=60.0,
    odometry_remarks=["", ""],
    odometry_wait=0.5,
    missing_calibration="",
)


class _Graph:
    """Stands for a node that sees topics."""

    topics = (
        ("/front", "sensor_msgs/msg/Image"),
        ("/rear/compressed", "sensor_msgs/msg/CompressedImage"),
        ("/robot2/localizer/match_image", "sensor_msgs/msg/Image"),
        ("/unpublished", "sensor_msgs/msg/Image"),
        ("/odom", "nav_msgs/msg/Odometry"),
    )

    def get_topic_names_and_types(self) -> list[tuple[str, list[str]]]:
        return [(name, [kind]) for name, kind in self.topics]

    def count_publishers(self, name: str) -> int:
        return int(name != "/unpublished")


def _problems(**changes: Any) -> list[Problem]:
    return problems_of(replace(_FINE, **changes), _Graph())


def _images(**changes: Any) -> Topic:
    return replace(_FINE.images, **changes)


def _odometry(**changes: Any) -> Topic:
    return replace(_FINE.odometry, **changes)


def test_nothing_is_wrong_with_a_robot_that_sends_all():
    assert _problems() == []
    assert _problems(odometry=Topic("/odom", 0, Recent(0, Counter(), {}), None), joined=_recent(0)) == []


def test_silence_names_the_image_topics_that_are_published_and_nothing_else():
    (problem,) = _problems(silence=7.4, unstamped=9, missing_calibration="no calibration")
    assert problem.message == (
        "no image on /image for 7 s; image topics seen: /front (sensor_msgs/Image), "
        "/rear/compressed (sensor_msgs/CompressedImage)"
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": _images(publishers=2)}, "2 publishers on /image"),
        (
            {"images": _images(recent=_recent(4, 6))},
            "6 of 10 images of the last 5 s left out: the image is dark",
        ),
        ({"images": _images(recent=_recent(9, 1, "dark"))}, "the last image was left out: the image is dark"),
        ({"unstamped": 3}, "images on /image have no stamp"),
        ({"images": _images(lag=-7200.0)}, "/image is 7200 s ahead of /odom"),
        ({"images": _images(lag=90.0)}, "/image is 90 s behind /odom"),
        (
            {"images": _images(lag=90.0), "odometry": _odometry(lag=None)},
            "90 s behind the clock of this node",
        ),
        ({"odometry": _odometry(publishers=3)}, "3 publishers on /odom"),
        (
            {"odometry": _odometry(recent=_recent(7, 3))},
            "3 of 10 messages on /odom left out: the image is dark",
        ),
        ({"joined": _recent(4, 6)}, "/odom has no poses at the stamps of the images: 6 of 10 images"),
        (
            {"joined": _recent(4, 6), "odometry": _odometry(lag=0.9)},
            "/odom arrives 0.85 s later than its image (raise odometry_wait, 0.50 s)",
        ),
        ({"odometry_remarks": ["", "turned"]}, "/odom: turned"),
        ({"missing_calibration": "no calibration on /info"}, "no calibration on /info"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_cause_is_one_problem(changes, words):
    (problem,) = _problems(**changes)
    assert words in problem.message
    assert not problem.is_fatal


@pytest.mark.parametrize(
    "changes",
    [
        {"images": _images(recent=_recent(5, 5))},
        {"images": _images(recent=_recent(0, 2))},
        {"odometry": _odometry(recent=_recent(8, 2))},
        {"joined": _recent(5, 5)},
        {"unstamped": 2},
        {"images": _images(lag=9.0), "odometry": _odometry(lag=None)},
        {"missing_calibration": "no calibration", "age": 2.0},
    ],
)
def test_what_happens_to_a_healthy_robot_is_no_problem(changes):
    assert _problems(**changes) == []


def test_nothing_but_images_left_out_is_fatal():
    (problem,) = _problems(images=_images(recent=_recent(1, 9)))
    assert problem.is_fatal


def test_two_publishers_are_told_once_if_the_frames_tell_them_apart():
    problems = _problems(
        odometry=_odometry(publishers=2), odometry_remarks=["two publishers on one topic", ""]
    )
    assert [problem.message for problem in problems] == ["/odom: two publishers on one topic"]
