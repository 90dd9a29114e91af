"""Which topics of a bag hold the images and the poses: as told, otherwise the only ones there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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

# image_transport publishes the same pictures of /camera/image_raw on topics below it.
_COMPRESSED = "/compressed"
_DEPTH = "/compressedDepth"


def choose_image_topic(topics: Mapping[str, Topic], wanted: str | None) -> Topic:
    """Return the topic to take images from.

    Parameters
    ----------
    wanted : name as the user gave it, or None for the only camera; its compressed topic serves as well.

    Raises
    ------
    SourceError
        If there is no such topic, no image on it, or none was named and there are several cameras.
    """
    found = [t for t in topics.values() if t.type in IMAGE_TYPES and t.count]
    images = {t.name: t for t in found if not t.name.endswith(_DEPTH)}
    listing = f"image topics in the bag: {_listing(images.values())}"
    if wanted is not None:
        for name in _spellings(wanted):
            if topic := images.get(name) or images.get(name + _COMPRESSED):
                return topic
        raise SourceError(f"{_absence('image', wanted, topics)}; {listing}")
    cameras = {name.removesuffix(_COMPRESSED) for name in images}
    if len(cameras) != 1:
        problem = "several cameras, name one image topic" if cameras else "no images"
        raise SourceError(f"the bag holds {problem}; {listing}")
    camera = cameras.pop()
    return images.get(camera) or images[camera + _COMPRESSED]


def choose_pose_topic(topics: Mapping[str, Topic], wanted: str | None) -> Topic | None:
    """Return the topic to take poses from: the only one of the pose types, else TF, else None.

    Raises
    ------
    SourceError
        If there is no such topic, no pose on it, or none was named and there are several.
    """
    poses = {t.name: t for t in topics.values() if t.type in POSE_TYPES and t.count}
    moving_tf = {t.name: t for t in topics.values() if t.type in TF_TYPES and t.count and not is_static(t)}
    listing = f"pose topics in the bag: {_listing([*poses.values(), *moving_tf.values()])}"
    if wanted is not None:
        for name in _spellings(wanted):
            if topic := poses.get(name) or moving_tf.get(name):
                return topic
        raise SourceError(f"{_absence('pose', wanted, topics)}; {listing}")
    for candidates in (poses, moving_tf):
        if len(candidates) > 1 and "/tf" not in candidates:
            raise SourceError(f"the bag holds several pose topics, name one; {listing}")
        if candidates:
            return candidates.get("/tf") or next(iter(candidates.values()))
    return None


def static_tf_topics(topics: Mapping[str, Topic]) -> list[str]:
    """Names of the topics with static transforms."""
    return [topic.name for topic in topics.values() if topic.type in TF_TYPES and is_static(topic)]


def is_static(topic: Topic) -> bool:
    return topic.name.endswith("tf_static")


def _spellings(name: str) -> list[str]:
    """Return the name as given, then with the leading slash that is easily left out."""
    return [name, "/" + name.lstrip("/")]


def _absence(kind: str, wanted: str, topics: Mapping[str, Topic]) -> str:
    topic = next((topics[name] for name in _spellings(wanted) if name in topics), None)
    instead = f", where the bag holds {topic.count} of {topic.type}" if topic else ""
    return f"no {kind} on {wanted}{instead}"


def _listing(topics: Iterable[Topic]) -> str:
    return ", ".join(str(topic) for topic in sorted(topics)) or "none"
