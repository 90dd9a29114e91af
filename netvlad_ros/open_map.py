"""The map that is open, with the localizer that searches it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from netvlad_core.errors import NetvladError
from netvlad_core.files import user_path
from netvlad_core.localization.localizer import Localizer
from netvlad_core.localization.localizer_options import LocalizerOptions
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.model.backbones import network_file


class OpenMap:
    """Opens one map at a time; may be asked from several threads.

    Parameters
    ----------
    tell : called with the map that is open now, or None, while no other one can be opened.

    Attributes
    ----------
    localizer : of the open map, None without one.
    """

    def __init__(self, tell: Callable[[PlaceMap | None], None]) -> None:
        self.localizer: Localizer | None = None
        self._tell = tell
        self._lock = Lock()
        self._is_allowed = False

    def allow(self) -> None:
        """From now on, until `close`, maps may be opened."""
        self._is_allowed = True

    def open(
        self, path: str, weights: str, device: str, options: LocalizerOptions, precision: str
    ) -> Localizer:
        """Open a map and its network; on an error the map that was open stays so.

        Parameters
        ----------
        weights : checkpoint or ONNX file of the network, or `packaged`; empty takes the one of the map.

        Raises
        ------
        NetvladError
            If the map or its network cannot be used, or no map may be opened.
        """
        with self._lock:
            if not self._is_allowed:
                raise NetvladError("the node is not configured, so it opens no map; configure it first")
            network = network_file(weights) if weights else None
            opened = Localizer.open(user_path(path), network, device, options, precision)
            # The first run of a network is slow; it should not fall on the first image.
            opened.extractor.try_out()
            self._tell(opened.place_map)  # before it is the one: what cannot be told does not replace another
            self.localizer = opened
            return opened

    def with_options(self, options: LocalizerOptions) -> Localizer | None:
        """The localizer with these thresholds; whatever it has cached and believes stays."""
        with self._lock:
            if self.localizer is not None:
                self.localizer = self.localizer.with_options(options)
            return self.localizer

    def close(self) -> None:
        """Close the map; none is opened until `allow`."""
        with self._lock:
            self._is_allowed = False
            if self.localizer is not None:
                self.localizer = None
                self._tell(None)
