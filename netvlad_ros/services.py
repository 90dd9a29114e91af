"""Services that always answer: with what was asked for, or with a sentence."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.parameter import Parameter

from netvlad_core.errors import NetvladError
from netvlad_core.files import user_path

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
        kind : its type, whose response has `success` and `message`.
        answer : fills in a response; what it raises becomes the message.
        """

        def call(request: Any, response: Any) -> Any:
            try:
                answer(request, response)
                response.success = True
            except Exception as error:
                response.success, response.message = False, failure(error)
                self._node.get_logger().warning(f"{name.removeprefix('~/')} failed: {response.message}")
            return response

        self._node.create_service(kind, name, call, callback_group=self._group)


def folder_of(text: str) -> Path:
    """Absolute path of a folder that a request names; raises NetvladError if it names none."""
    if not text:
        raise NetvladError("the request names no folder: path is empty")
    return user_path(text).absolute()


def remember(node: Node, parameter: str, value: str) -> None:
    """Have the parameter say what a service has opened, so that configuring anew opens it again."""
    node.set_parameters([Parameter(parameter, value=value)])


def failure(error: Exception) -> str:
    """What went wrong and what to do, as one sentence."""
    if isinstance(error, NetvladError):
        return str(error)
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        source, _, reason = error.args[0][0]  # shutil names each file that it could not copy
        return f"cannot copy {source}: {reason}"
    if isinstance(error, OSError) and error.strerror:
        where = "" if error.filename is None else f"{error.filename}: "
        hint = _HINTS.get(error.errno or 0)
        return f"{where}{error.strerror}" + (f"; {hint}" if hint else "")
    if isinstance(error, OSError):  # numpy's, of a disk that is full
        return f"cannot read or write ({error}); is the disk full?"
    return f"{type(error).__name__}: {error}"
