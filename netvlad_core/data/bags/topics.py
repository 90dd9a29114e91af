"""Topics of the images and the poses of a bag: those that the user names, otherwise the only ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import takewhile

from netvlad_core.data.bags.bag_file import Topic
from netvlad_core.errors import SourceError

IMAGE_TYPES = ("sensor_msgs/Image", "sensor_msgs/CompressedImage")
POSE_TYPES = (
    "nav_msgs/Odometry",
    "geometry_msgs/PoseStamped",
    "geometry_msgs/PoseWithCovarianceStamped",
    "nav_msgs/Path",
    "sensor_msgs/NavSatFix",
)
TF_TYPES = ("tf2_msgs/TFMessage", "tf/tfMessage")

# Types of video, which is not read; the message about a bag without images names it.
_VIDEO_TYPES = ("CompressedVideo", "FFMPEGPacket", "H264Packet", "theora_image_transport/Packet")

# image_transport publishes the same pictures of /camera/image_raw on topics below it.
_COMPRESSED = "/compressed"
_DEPTH = "/compressedDepth"


def choose_image_topic(topics: Mapping[str, Topic], wanted: str | None) -> Topic:
    """Return the topic to take images from.

    Parameters
    ----------
    wanted : name that the user gave, or None for the only camera; its compressed topic serves as well.

    Raises
    ------
    SourceError
        If there is no such topic, no image on it, or none was named and there are several cameras.
    """
    found = [t for t in topics.values() if t.type in IMAGE_TYPES and t.count]
    images = {t.name: t for t in found if not t.name.endswith(_DEPTH)}
    listing = f"image topics in the bag: {named(images.values())}"
    cameras = {name.removesuffix(_COMPRESSED): topic for name, topic in images.items()}
    usable = {**cameras, **images}
    if wanted is not None:
        return _as_spelled(wanted, "image", usable, topics, listing)
    if len(cameras) > 1:
        raise SourceError(f"the bag holds several cameras, name one image topic; {listing}")
    if not cameras:
        is_video = any(topic.type.endswith(_VIDEO_TYPES) for topic in topics.values())
        advice = "; video is not read, decode it to sensor_msgs/CompressedImage" if is_video else ""
        raise SourceError(f"the bag holds no images; {listing}; all topics: {named(topics.values())}{advice}")
    return usable[next(iter(cameras))]


def choose_pose_topic(topics: Mapping[str, Topic], wanted: str | None, images: str) -> Topic | None:
    """Return the topic to take poses from: the only one of the pose types, else TF, else None.

    Parameters
    ----------
    wanted : name that the user gave, or None.
    images : topic of the images; of several TF topics the one of the same robot is taken.

    Raises
    ------
    SourceError
        If there is no such topic, no pose on it, or none was named and there are several.
    """
    poses = {t.name: t for t in topics.values() if t.type in POSE_TYPES and t.count}
    moving_tf = {t.name: t for t in topics.values() if t.type in TF_TYPES and t.count and not is_static(t)}
    listing = f"pose topics in the bag: {named([*poses.values(), *moving_tf.values()])}"
    if wanted is not None:
        return _as_spelled(wanted, "pose", {**poses, **moving_tf}, topics, listing)
    own_tf = {name: moving_tf[name] for name in same_robot(moving_tf, images)}
    candidates = list((poses or own_tf or moving_tf).values())
    if len(candidates) > 1:
        raise SourceError(f"the bag holds several pose topics, name one; {listing}")
    return candidates[0] if candidates else None


def _as_spelled(
    wanted: str, kind: str, usable: Mapping[str, Topic], topics: Mapping[str, Topic], listing: str
) -> Topic:
    spellings = _spellings(wanted)
    for name in spellings:
        if name in usable:
            return usable[name]
    topic = next((topics[name] for name in spellings if name in topics), None)
    instead = f", the bag holds {topic.count} of {topic.type} there" if topic else ""
    raise SourceError(f"no {kind} on {wanted}{instead}; {listing}")


def existing(topics: Mapping[str, Topic], wanted: Iterable[str]) -> set[str]:
    """Names of topics as the bag spells them; raises SourceError if one is not there."""
    found = {name: next((s for s in _spellings(name) if s in topics), "") for name in wanted}
    if missing := [name for name, spelled in found.items() if not spelled]:
        raise SourceError(f"no topic {missing[0]}; topics in the bag: {named(topics.values())}")
    return set(found.values())


def static_tf_topics(topics: Mapping[str, Topic], *beside: str) -> list[str]:
    """Names of the topics with the static transforms of the robot that publishes the topics `beside`."""
    names = [topic.name for topic in topics.values() if topic.type in TF_TYPES and is_static(topic)]
    return next((found for name in beside if (found := same_robot(names, name))), [])


def same_robot(names: Iterable[str], beside: str) -> list[str]:
    """Choose the topics that share the longest part of their namespace with the topic `beside`.

    Several robots use the same names of frames. A topic in a namespace that shares nothing is not chosen.
    """
    own = beside.split("/")[1:-1]
    shared = {}
    for name in names:
        namespace = name.split("/")[1:-1]
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(own, namespace)))
        if common or not own or not namespace:
            shared[name] = (common, -len(namespace))
    return [name for name, rank in shared.items() if rank == max(shared.values())]


def is_static(topic: Topic) -> bool:
    return topic.name.endswith("tf_static")


def _spellings(name: str) -> list[str]:
    """Return the name as given, then with the leading slash that is easily left out."""
    return [name, "/" + name.lstrip("/")]


def named(topics: Iterable[Topic]) -> str:
    """Topics with their types and counts, for a sentence."""
    return ", ".join(str(topic) for topic in sorted(topics)) or "none"
