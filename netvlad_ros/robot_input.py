"""What the robot sends: image, odometry, calibration and static transforms in; moments out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from nav_msgs.msg import Odometry
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from netvlad_core.data.camera import Camera, is_rectified
from netvlad_core.data.geometry import Pose
from netvlad_core.data.judges.clocks import OUT_OF_ORDER, ClockJudge, clock_difference
from netvlad_core.data.judges.frames import OTHER_FRAMES
from netvlad_core.errors import NetvladError
from netvlad_core.files import sendable
from netvlad_ros.camera_input import CameraInput, parse_extrinsics
from netvlad_ros.conversions import image_from_message, stamp_from_nanoseconds, stamp_to_nanoseconds
from netvlad_ros.diagnostics import Problem, Statistics
from netvlad_ros.input_rules import InputState, Topic, problems_of
from netvlad_ros.moment import Moment
from netvlad_ros.newest import NewestWorker
from netvlad_ros.odometry import AHEAD, OdometryInput
from netvlad_ros.odometry import STREAM as ODOMETRY
from netvlad_ros.static_frames import StaticFrames

STREAM = "images"
# The stream of images that get odometry, and of those left without though odometry is published.
JOINED = "images with odometry"
_KINDS = {"raw": Image, "compressed": CompressedImage}
# The clock of ROS is set back when a simulation or a recording begins again.
_SET_BACK = JumpThreshold(min_forward=None, min_backward=Duration(seconds=-1), on_clock_change=False)


@dataclass(frozen=True)
class _Held:
    """An image on its way to the worker.

    Attributes
    ----------
    stamp : nanoseconds, of the header, or time of arrival if the header has none.
    odometry_stamp : the same instant on the clock of the odometry.
    arrived : of the monotonic clock, seconds.
    """

    message: Image | CompressedImage
    stamp: int
    odometry_stamp: int
    arrived: float


class RobotInput:
    """Listens to the robot while it is open, and gives the newest moment to one worker.

    An image waits until the odometry of its stamp has come, for `odometry_wait` seconds at most, and not at
    all if no odometry is heard. Stamps, frames and positions are judged: what is odd is left out and counted.
    Images without stamps, or stamped by another clock than the odometry, are joined with it by their time of
    arrival.

    Parameters
    ----------
    node : makes the subscriptions, and has a clock and a logger.
    value : gives the parameters image_transport, base_frame, extrinsics, odometry_wait, image_timeout and
        verification by name.
    statistics : counts what comes, what is used and what is left out.
    work : called with each moment in a thread of its own; what it raises is counted as an image left out.
    forget : called when nothing from before compares with what comes: a clock was set back, or the odometry
        begins anew.
    map_camera : gives the camera of the open map, if there is one.
    wants : asked before an image is decoded, with its stamp and odometry; by default every image is wanted.

    Attributes
    ----------
    static_frames : static transforms between the frames of the robot.
    camera : calibration and mounting of the camera.
    topic : of the images while it is open, otherwise empty.
    """

    def __init__(
        self,
        node: Node,
        value: Callable[[str], Any],
        statistics: Statistics,
        work: Callable[[Moment], None],
        forget: Callable[[], None],
        map_camera: Callable[[], Camera | None] = lambda: None,
        wants: Callable[[int, Pose | None], bool] = lambda stamp, odometry: True,
    ) -> None:
        self._node = node
        self._value = value
        self._statistics = statistics
        self._work = work
        self._forget = forget
        self._wants = wants
        self.static_frames = StaticFrames(node)
        self._odometry = OdometryInput(statistics, self.static_frames)
        self.camera = CameraInput(self.static_frames, map_camera, self._warn)
        self._worker: NewestWorker[_Held] | None = None
        self._listeners: list[Any] = []
        self.topic = self._odometry_topic = ""
        self._start_anew()
        self._jumps = node.get_clock().create_jump_callback(_SET_BACK, post_callback=self._on_jump)

    def _start_anew(self) -> None:
        self._clock = ClockJudge(AHEAD)
        self._unstamped = 0
        self._opened = self._last_image = monotonic()
        self._first_image = float("inf")

    # --- Opening and closing --------------------------------------------------------------------------------

    def open(self) -> None:
        """Start to listen.

        Raises
        ------
        NetvladError
            If a parameter is wrong.
        Exception
            Whatever rclpy raises, e.g. for wrong QoS overrides; nothing is left open.
        """
        transport, base_frame = self._value("image_transport"), self._value("base_frame")
        image_topic, info_topic = self._image_topic(transport), self._info_topic()
        extrinsics = parse_extrinsics(self._value("extrinsics"))
        self.camera.begin(info_topic, base_frame, extrinsics, is_rectified(image_topic))
        self._odometry.begin(base_frame)
        self._statistics.forget_recent()
        self._start_anew()
        self._worker = NewestWorker(self._take, self._patience, self._on_overtaken)
        try:
            images = self._listen(_KINDS[transport], image_topic, self._on_image, _best_effort(depth=1))
            self._odometry_topic = self._listen(
                Odometry, "odom", self._on_odometry, _best_effort(depth=200)
            ).topic_name
            self._listen(CameraInfo, info_topic, self.camera.hear, _best_effort(depth=1))
        except Exception:
            self.close()
            raise
        self.topic = images.topic_name

    def close(self) -> None:
        """Stop to listen, once the moment in work is done."""
        self.topic = ""
        while self._listeners:
            self._node.destroy_subscription(self._listeners.pop())
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def _listen(self, kind: type, topic: str, callback: Callable[[Any], None], qos: QoSProfile) -> Any:
        subscription = self._node.create_subscription(
            kind,
            topic,
            callback,
            qos,
            callback_group=MutuallyExclusiveCallbackGroup(),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self._listeners.append(subscription)
        return subscription

    def _image_topic(self, transport: str) -> str:
        """Topic of the images: that of image_transport below the raw one, unless it is remapped itself."""
        if transport not in _KINDS:
            raise NetvladError(f"image_transport is {transport!r}; expected one of {', '.join(_KINDS)}")
        if transport == "raw":
            return self._node.resolve_topic_name("image")
        return self._remapped(f"image/{transport}") or f"{self._node.resolve_topic_name('image')}/{transport}"

    def _info_topic(self) -> str:
        """Topic of the calibration: beside that of the raw images, unless it is remapped itself."""
        beside = self._node.resolve_topic_name("image").rpartition("/")[0]
        return self._remapped("camera_info") or f"{beside}/camera_info"

    def _remapped(self, topic: str) -> str | None:
        resolved = self._node.resolve_topic_name(topic)
        return None if resolved == self._node.resolve_topic_name(topic, only_expand=True) else resolved

    # --- Callbacks ------------------------------------------------------------------------------------------

    def _on_image(self, message: Image | CompressedImage) -> None:
        self._statistics.count("images received")
        received, self._last_image = self._now(), monotonic()
        self._first_image = min(self._first_image, self._last_image)
        header_stamp = stamp_to_nanoseconds(message.header.stamp)
        judged = self._clock.judge(header_stamp, received)
        if judged.starts_anew:
            self._statistics.count("clock of the images set back")
            self._forget()
        if judged.stamp is None:
            if judged.reason == OUT_OF_ORDER:  # a newer one has come before it
                self._statistics.count("images overtaken by a newer one")
            else:
                self._statistics.leave_out(STREAM, judged.reason)
            return
        self._unstamped = 0 if header_stamp else self._unstamped + 1
        if not header_stamp:
            self._statistics.count("images without a stamp")
        worker = self._worker  # another thread may close the input meanwhile
        if worker is not None:
            odometry_stamp = self._on_odometry_clock(judged.stamp, received)
            worker.put(_Held(message, judged.stamp, odometry_stamp, self._last_image))

    def _on_odometry(self, message: Odometry) -> None:
        self._statistics.count("odometry received")
        if self._odometry.hear(message, self._now()):
            self._forget()
        worker = self._worker
        if worker is not None:
            worker.wake()

    def _on_jump(self, jump: Any) -> None:
        """ROS says that its time was set back: whatever was stamped before is of another time."""
        self._statistics.count("clock of ROS set back")
        self._start_anew()
        self._odometry.begin(self._odometry.base_frame)
        self._forget()

    def _on_overtaken(self, held: _Held) -> None:
        self._statistics.count("images overtaken by a newer one")

    def _on_odometry_clock(self, stamp: int, received: int) -> int:
        """The instant of an image on the clock of the odometry, by times of arrival if the two differ."""
        odometry_lag = self._odometry.lag
        if odometry_lag is None or not clock_difference(self._clock.lag, odometry_lag):
            return stamp
        return received - int(odometry_lag * 1e9)

    # --- Worker ---------------------------------------------------------------------------------------------

    def _patience(self, held: _Held) -> float:
        """Seconds for which an image still waits for its odometry."""
        if self._odometry.is_awaited(held.odometry_stamp):
            since = held.arrived
        elif not self._odometry.is_heard and self._node.count_publishers(self._odometry_topic):
            since = self._first_image  # the very first odometry is on its way
        else:
            return 0.0
        return max(0.0, since + self._value("odometry_wait") - monotonic())

    def _take(self, held: _Held) -> None:
        """Make a moment of an image and have it worked on; whatever is wrong is counted."""
        try:
            self._note_age("age when taken in work", held)
            odometry = self._odometry.at(held.odometry_stamp)
            self._note_odometry(odometry)
            if not self._wants(held.stamp, odometry):
                self._statistics.take(STREAM)
                return
            with self._statistics.timed("decode"):
                image = image_from_message(held.message)
            header = Header(stamp=stamp_from_nanoseconds(held.stamp), frame_id=held.message.header.frame_id)
            source, is_joined = self._odometry, not self._odometry.is_unjoined
            self._work(
                Moment(header, held.stamp, image, odometry, source.frame_id, is_joined, self.camera.get())
            )
        except Exception as error:  # a GPU that goes away must not end the thread, and all answers with it
            self._statistics.leave_out(STREAM, sentence(error))
        else:
            self._statistics.take(STREAM)
            self._note_age("age when done", held)

    def _note_odometry(self, odometry: Pose | None) -> None:
        if odometry is not None:
            self._statistics.note(JOINED)
        elif self._odometry.is_alive:
            self._statistics.note(JOINED, "no odometry at its stamp")
        self._statistics.count("images without odometry" if odometry is None else "images with odometry")

    def _note_age(self, what: str, held: _Held) -> None:
        self._statistics.record(what, (self._now() - held.stamp) / 1e9)

    # --- Health ---------------------------------------------------------------------------------------------

    def problems(self) -> list[Problem]:
        """What keeps the input from being whole, by the rules of `input_rules`."""
        if not self.topic:
            return []
        odometry = self._odometry
        is_mixed = self._statistics.recent(ODOMETRY).left_out[OTHER_FRAMES] > 0  # now, not once in its life
        odometry_lag = odometry.lag if odometry.is_alive else None
        state = InputState(
            images=self._state_of(self.topic, STREAM, self._clock.lag),
            odometry=self._state_of(self._odometry_topic, ODOMETRY, odometry_lag),
            joined=self._statistics.recent(JOINED),
            silence=monotonic() - self._last_image,
            image_timeout=self._value("image_timeout"),
            unstamped=self._unstamped,
            age=monotonic() - self._opened,
            odometry_remarks=[odometry.frames_remark if is_mixed else "", odometry.unjoined_remark],
            odometry_wait=self._value("odometry_wait"),
            missing_calibration=self.camera.problem
            if self._value("verification") in (True, "always")
            else "",
        )
        return problems_of(state, self._node)

    def _state_of(self, topic: str, stream: str, lag: float | None) -> Topic:
        return Topic(topic, self._node.count_publishers(topic), self._statistics.recent(stream), lag)

    def _warn(self, text: str) -> None:
        self._node.get_logger().warning(text, throttle_duration_sec=5.0)

    def _now(self) -> int:
        return self._node.get_clock().now().nanoseconds


def sentence(error: Exception) -> str:
    """What happened, for a reader: our own errors are sentences, others need their name."""
    return sendable(str(error) if isinstance(error, NetvladError) else f"{type(error).__name__}: {error}")


def _best_effort(depth: int) -> QoSProfile:
    """As camera drivers publish; it matches reliable publishers, too.

    One image is enough, since only the newest is worked on; a second of fast odometry fits into 200. A new
    profile each time: rclpy writes the user's overrides into the one it is given.
    """
    return QoSProfile(depth=depth, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)
