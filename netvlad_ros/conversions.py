"""ROS messages to values of the core and back; the only place that knows both."""

from __future__ import annotations

from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, PoseWithCovarianceStamped, Quaternion
from geometry_msgs.msg import Pose as PoseMessage
from rclpy.logging import get_logger
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from netvlad_core.data.geometry import Pose
from netvlad_core.data.images import decode_message
from netvlad_core.files import sendable
from netvlad_core.localization.answer import Localization
from netvlad_core.localization.loops.loop_closure import LoopClosure
from netvlad_core.localization.pose_prior import PosePrior
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.places import Match
from netvlad_ros.msg import GlobalDescriptor, MapInfo, PlaceMatch, PlaceMatches
from netvlad_ros.msg import LoopClosure as LoopClosureMessage

# A map without poses: rviz and back ends must not take zeros for a position.
_NO_POSE = Pose(np.full(3, np.nan), np.full(4, np.nan))


def _open_bridge() -> Any:
    """The converter of ROS, None without it; the core decodes the same encodings."""
    try:
        from cv_bridge import CvBridge

        return CvBridge()
    except Exception as error:  # one that was built for another numpy raises many kinds
        if not (isinstance(error, ModuleNotFoundError) and error.name == "cv_bridge"):
            _tell_broken_bridge(error)
        return None


def _tell_broken_bridge(error: Exception) -> None:
    get_logger("netvlad_ros").warning(
        f"cv_bridge is installed but does not work ({type(error).__name__}: {error}); images are decoded "
        "without it; install the cv_bridge of this ROS distribution with the numpy that it was built for",
        once=True,
    )


_bridge = _open_bridge()


def image_from_message(message: Image | CompressedImage) -> np.ndarray:
    """Decode a message of any usual encoding.

    Returns
    -------
    (H, W, 3) uint8 RGB.

    Raises
    ------
    ImageError
        If the image is empty, truncated or of an encoding that is not an image.
    """
    global _bridge
    # cv_bridge converts without looking at sizes, so it gets the plain case alone; all else goes to the core,
    # which checks and says what is wrong.
    is_plain = getattr(message, "encoding", "") in ("rgb8", "bgr8") and message.step == 3 * message.width
    if _bridge and is_plain and 0 < len(message.data) == message.height * message.step:
        try:
            return np.ascontiguousarray(_bridge.imgmsg_to_cv2(message, "rgb8"))
        except Exception as error:  # its compiled half is first loaded here
            _bridge = None
            _tell_broken_bridge(error)
    return decode_message(message)


def image_to_message(image: np.ndarray, header: Header) -> Image:
    """Wrap an image, uint8 RGB (H, W, 3), as rgb8."""
    height, width = image.shape[:2]
    message = Image(header=header, height=height, width=width, encoding="rgb8", step=3 * width)
    message.data = image.tobytes()
    return message


def stamp_to_nanoseconds(stamp: Time) -> int:
    return stamp.sec * 10**9 + stamp.nanosec


def stamp_from_nanoseconds(nanoseconds: int) -> Time:
    """Stamp of a message; times that ROS cannot say (before 1970, after 2038) become the nearest it can."""
    nanoseconds = min(max(nanoseconds, 0), (2**31 - 1) * 10**9)
    return Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)


def pose_to_message(pose: Pose) -> PoseMessage:
    x, y, z = pose.position.tolist()
    qx, qy, qz, qw = pose.quaternion.tolist()
    return PoseMessage(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))


def pose_from_message(message: PoseMessage) -> Pose:
    """Check and take a pose; raises PoseError if it is not finite or its quaternion has no direction."""
    p, q = message.position, message.orientation
    return Pose.from_values([p.x, p.y, p.z], [q.x, q.y, q.z, q.w])


def prior_to_message(prior: PosePrior, header: Header) -> PoseWithCovarianceStamped:
    """Pose map <- base_link with its covariance, row-major."""
    message = PoseWithCovarianceStamped(header=header)
    message.pose.pose = pose_to_message(prior.pose)
    message.pose.covariance = prior.covariance.ravel().tolist()
    return message


def match_to_message(match: Match) -> PlaceMatch:
    """One match; the pose is NaN where the map has none."""
    return PlaceMatch(
        place_id=match.place,
        place_stamp=stamp_from_nanoseconds(match.stamp),
        similarity=match.similarity,
        inliers=match.inliers,
        pose=pose_to_message(match.pose or _NO_POSE),
    )


def matches_to_message(answer: Localization, place_map: PlaceMap, header: Header) -> PlaceMatches:
    """State, the place that it speaks of, and matches; header: stamp of the query, frame of the map."""
    return PlaceMatches(
        header=header,
        state=int(answer.state),
        place_id=answer.place,
        probability=answer.probability,
        reason=answer.reason,
        model_id=place_map.header.model_id,
        map_id=place_map.header.map_id,
        matches=[match_to_message(match) for match in answer.matches],
    )


def lost_to_message(reason: str, place_map: PlaceMap, header: Header) -> PlaceMatches:
    """State LOST without a match."""
    facts = place_map.header
    return PlaceMatches(
        header=header, state=PlaceMatches.LOST, reason=reason, model_id=facts.model_id, map_id=facts.map_id
    )


def descriptor_to_message(descriptor: np.ndarray, model_id: str, header: Header) -> GlobalDescriptor:
    """A descriptor (D,) with the header of its image."""
    message = GlobalDescriptor(header=header, model_id=model_id)
    # An array of the same type is taken as it is; a list would be checked number by number.
    message.descriptor.frombytes(descriptor.astype(np.float32).tobytes())
    return message


def closure_to_message(closure: LoopClosure, base_frame: str) -> LoopClosureMessage:
    """Two stamps and the pose between them, in the base frame of the earlier one."""
    stamp = stamp_from_nanoseconds(closure.to_stamp)
    message = LoopClosureMessage(
        header=Header(stamp=stamp, frame_id=base_frame),
        from_stamp=stamp_from_nanoseconds(closure.from_stamp),
        to_stamp=stamp,
        from_id=closure.from_id,
        to_id=closure.to_id,
        similarity=closure.similarity,
        inliers=closure.inliers,
    )
    message.relative_pose.pose = pose_to_message(closure.relative)
    message.relative_pose.covariance = closure.covariance.ravel().tolist()
    return message


def map_to_message(place_map: PlaceMap | None, header: Header) -> MapInfo:
    """What a client needs to know about the open map; fields are empty if none is open."""
    if place_map is None:
        return MapInfo(header=header)
    facts = place_map.header
    return MapInfo(
        header=header,
        map_id=facts.map_id,
        path=sendable(str(place_map.path.absolute())),
        model_id=facts.model_id,
        places=facts.places,
        dimension=facts.dimension,
        frame_id=facts.frame_id,
        source=facts.source,
    )
