"""The camera of the robot: its calibration from camera_info, and where it sits on the robot."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from sensor_msgs.msg import CameraInfo

from netvlad_core.data.camera import Camera, CameraError
from netvlad_core.data.geometry import Pose
from netvlad_core.errors import NetvladError, PoseError
from netvlad_ros.static_frames import StaticFrames


class CameraInput:
    """Makes a camera of camera_info, anew when the message or the robot's frames change.

    The camera sits where the parameter `extrinsics` says; else where /tf_static puts the frame of
    camera_info; else where that of the map sits.

    Parameters
    ----------
    map_camera : gives the camera of the open map, None if it has none.
    warn : takes the sentences for the log.

    Attributes
    ----------
    problem : why there is no calibration, empty if there is one.
    """

    def __init__(
        self,
        static_frames: StaticFrames,
        map_camera: Callable[[], Camera | None],
        warn: Callable[[str], None],
    ) -> None:
        self._static_frames = static_frames
        self._map_camera = map_camera
        self._warn = warn
        self._lock = Lock()
        self.begin("camera_info", "base_link", None, False)

    def begin(self, topic: str, base_frame: str, extrinsics: Pose | None, is_rectified: bool) -> None:
        """Forget what was heard.

        Parameters
        ----------
        topic : of camera_info.
        extrinsics : base_frame <- optical frame; None looks for it.
        is_rectified : whether the images are, see `netvlad_core.data.camera.is_rectified`.
        """
        self.problem = f"no calibration on {topic}; the calibration in the map is used, if it has one"
        self._base_frame = base_frame
        self._extrinsics = extrinsics
        self._is_rectified = is_rectified
        self._info: CameraInfo | None = None
        self._made_of: tuple[object, ...] = ()
        self._camera: Camera | None = None

    def hear(self, info: CameraInfo) -> None:
        self._info = info

    def get(self) -> Camera | None:
        """The camera, None if it is not calibrated, or not known to sit anywhere."""
        info = self._info
        if info is None:
            return None
        mounting = self._mounting(info.header.frame_id)
        made_of = (_signature(info), None if mounting is None else (*mounting.position, *mounting.quaternion))
        with self._lock:
            if made_of != self._made_of:
                self._made_of = made_of
                self._camera = self._make(info, mounting)
            return self._camera

    def _make(self, info: CameraInfo, mounting: Pose | None) -> Camera | None:
        if mounting is None:
            self.problem = (
                f"the pose of {info.header.frame_id!r}, the frame of camera_info, in {self._base_frame!r} is "
                "not known; publish the static transform or set the parameter extrinsics"
            )
            return None
        try:
            camera = Camera.from_message(info, mounting, self._is_rectified)
        except CameraError as error:
            if str(error) != self.problem:
                self._warn(f"camera_info left out: {error}")
            self.problem = str(error)
            return None
        self.problem = ""
        return camera

    def _mounting(self, camera_frame: str) -> Pose | None:
        if self._extrinsics is not None:
            return self._extrinsics
        mounting = self._static_frames.between(self._base_frame, camera_frame)
        if mounting is not None:
            return mounting
        camera = self._map_camera()
        return None if camera is None else camera.mounting


def parse_extrinsics(text: str) -> Pose | None:
    """Read 'x y z qx qy qz qw', metres; None if the text is empty.

    Raises
    ------
    NetvladError
        If it is not seven numbers, or they are no pose.
    """
    if not text.strip():
        return None
    try:
        values = [float(word) for word in text.replace(",", " ").split()]
        if len(values) != 7:
            raise ValueError(f"found {len(values)} numbers")
        return Pose.from_values(values[:3], values[3:])
    except (ValueError, PoseError) as error:
        raise NetvladError(f"extrinsics is {text!r}; expected 'x y z qx qy qz qw': {error}") from error


def _signature(info: CameraInfo) -> tuple[object, ...]:
    """All of a message but its stamp."""
    roi = info.roi
    return (
        info.header.frame_id,
        (info.width, info.height, info.binning_x, info.binning_y, info.distortion_model),
        (roi.x_offset, roi.y_offset, roi.width, roi.height, roi.do_rectify),
        (*info.d, *info.k, *info.r, *info.p),
    )
