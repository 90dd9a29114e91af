"""Services that always answer: with what was asked for, or with a sentence."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.parameter import Parameter

from netvlad_core.errors import NetvladError
from netvlad_core.files import sendable, user_path

_HINTS = {
    errno.EROFS: "choose a folder that can be written to",
    errno.EACCES: "choose a folder that the node may use, or change its permissions",
    errno.EPERM: "choose a folder that the node may use, or change its permissions",
    errno.ENOSPC: "make room or choose another disk",
    errno.EDQUOT: "make room or choose another disk",
    errno.ENAMETOOLONG: "choose a shorter name",
}


class Services:
    """Serves calls one after the other; an exception in a service would end the node, so none gets out."""

    def __init__(self, node: Node) -> None:
        self._node = node
        # A service waits for a map or for the network; in a group of its own it keeps nobody else waiting.
        self._group = MutuallyExclusiveCallbackGroup()

    def serve(self, kind: type, name: str, answer: Callable[[Any, Any], None]) -> None:
        """Offer a service.

        Parameters
        ----------
        kind : its type, whose response has `success` and `message`, or nothing at all.
        answer : fills in a response; what it raises becomes the message.
        """

        def call(request: Any, response: Any) -> Any:
            reason = ""
            try:
                answer(request, response)
            except Exception as error:
                reason = failure(error)
                self._node.get_logger().warning(f"{name.removeprefix('~/')} failed: {reason}")
            if hasattr(response, "success"):
                response.success, response.message = not reason, reason or response.message
            return response

        self._node.create_service(kind, name, call, callback_group=self._group)


def maps_folder(value: Callable[[str], Any]) -> Path | None:
    """The folder below which services open and write maps, by the parameters maps_folder and map, or None."""
    if value("maps_folder"):
        return user_path(value("maps_folder")).resolve()
    return user_path(value("map")).absolute().parent.resolve() if value("map") else None


def folder_of(text: str, within: Path | None) -> Path:
    """Folder that a request names, absolute and without links.

    Of the disk beyond `within` the caller learns nothing: not even whether there is such a folder, or user.

    Raises
    ------
    NetvladError
        If it names none, or one that is not below `within`; None allows every one.
    """
    if not text.isprintable() or not text:
        raise NetvladError(f"the request names no folder: path is {f'{text!r:.80}' if text else 'empty'}")
    try:
        folder = user_path(text).resolve()
        if within is None or within in folder.parents:
            return folder
    except (NetvladError, OSError, RuntimeError):  # no such user, or links in a circle
        if within is None:
            raise
    shown = text if text.startswith("~") else Path(text).absolute()
    raise NetvladError(
        f"{shown} is not below {within}, to which this node keeps; choose a folder there, or start the node "
        "with another maps_folder"
    )


def folder_to_write(text: str, within: Path | None) -> Path:
    """The same for a folder that is to be written, for which None allows none; raises NetvladError."""
    if within is None:
        raise NetvladError(
            "no map may be written: start the node with the parameter maps_folder, below which it may write"
        )
    return folder_of(text, within)


def remember(node: Node, parameter: str, value: str) -> None:
    """Have the parameter say what a service has opened, so that configuring anew opens it again."""
    node.set_parameters([Parameter(parameter, value=value)])


def failure(error: Exception) -> str:
    """What went wrong and what to do, as one sentence."""
    return sendable(_sentence(error))


def _sentence(error: Exception) -> str:
    if isinstance(error, NetvladError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        where = "" if error.filename is None else f"{error.filename}: "
        hint = _HINTS.get(error.errno or 0)
        return f"{where}{error.strerror}" + (f"; {hint}" if hint else "")
    if isinstance(error, OSError):  # numpy's, of a disk that is full
        return f"cannot read or write ({error}); is the disk full?"
    return f"{type(error).__name__}: {error}"
