"""Errors that a user may meet: each is a `NetvladError` with a full sentence."""

import re

_LONGEST = 4000  # characters, enough for the topics of a bag
_LONG_WORD = re.compile(r"(\S{200})\S{200,}(\S{100})")


class NetvladError(Exception):
    """Base of all errors that a user can cause and mend; says what was expected, what was found, what to do.

    Examples
    --------
    >>> from netvlad_core import NetvladError, PlaceMap
    >>> try:
    ...     PlaceMap.open("maps/nowhere")
    ... except NetvladError as error:
    ...     print(error)
    there is no map maps/nowhere: it is not a folder
    """

    def __str__(self) -> str:
        """The sentence, in one line; what is much longer echoes a name or a value that nobody can read."""
        # Libraries draw pictures of what they cannot read.
        lines = (line.strip() for line in super().__str__().splitlines())
        text = _LONG_WORD.sub(r"\1[...]\2", " ".join(filter(None, lines)))
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} [...]"


class ImageError(NetvladError):
    """An image that cannot be used: truncated, empty, of an unknown encoding or of the wrong size.

    Attributes
    ----------
    kind : a few words, the same for all images with this fault, to count them by.
    """

    def __init__(self, message: str, kind: str = "image that cannot be read") -> None:
        super().__init__(message)
        self.kind = kind


class PoseError(NetvladError):
    """A pose that is no rigid transform: not finite, without a rotation, or nowhere on Earth."""


class SourceError(NetvladError):
    """A bag, folder or catalogue that cannot be read, or that lacks what is required of it."""


class BrokenMessage(SourceError):
    """A message whose bytes do not fit its type."""


class CameraError(NetvladError):
    """A calibration that cannot be used: not calibrated, not finite or of an unknown model."""


class MapError(NetvladError):
    """A map on disk that is missing, damaged, of another format version or of another model."""


class CheckpointError(NetvladError):
    """A file of weights that is missing, damaged or of an unknown layout."""


class SettingError(NetvladError):
    """A setting of a wrong type, out of its range or of an unknown name, or a file without settings."""


class DownloadError(NetvladError):
    """A file that cannot be fetched: no network, a refusing server, a broken connection."""
