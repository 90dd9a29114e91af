"""A drive in the viewer of Rerun (rerun.io): images, places, path, state and probability over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from netvlad_core.data.frames import Frame
from netvlad_core.data.images import encode_jpeg, resize_to_fit
from netvlad_core.errors import NetvladError
from netvlad_core.localization.answer import Localization
from netvlad_core.localization.tracking.sequence_filter import State
from netvlad_core.mapping.place_map import PlaceMap

# The application that a recording names near its beginning, by which an earlier one is known.
APPLICATION = "netvlad localize"
_TIMELINE = "drive"
_LONGEST, _QUALITY = 640, 80  # pixels of a logged image, JPEG
_MAP, _DRIVE = (150, 158, 166), (29, 143, 134)


class RerunLog:
    """Logs the answers to a drive; close it in the end.

    Parameters
    ----------
    target : file to write (.rrd); None opens the viewer.

    Raises
    ------
    NetvladError
        If Rerun is not installed.
    """

    def __init__(self, place_map: PlaceMap, target: Path | None) -> None:
        try:
            import rerun
        except ModuleNotFoundError as error:
            raise NetvladError(
                "Rerun is shown a drive by its Python package: install it with `pip install rerun-sdk`, or "
                "leave out --rerun"
            ) from error
        self._rerun: Any = rerun
        self._place_map = place_map
        self._stream = rerun.RecordingStream(APPLICATION)
        if target is None:
            self._stream.spawn(default_blueprint=self._layout())
        else:
            self._stream.save(target, default_blueprint=self._layout())
        if place_map.has_poses:
            places = np.asarray(place_map.poses[:, :3])
            self._stream.log("map/places", rerun.Points3D(places, colors=_MAP, radii=-2.0), static=True)

    def add(self, frame: Frame, answer: Localization) -> None:
        """Log one answer at the time of its image."""
        rerun, log = self._rerun, self._stream.log
        self._stream.set_time(_TIMELINE, timestamp=np.datetime64(answer.stamp, "ns"))
        log("query/image", self._image(frame.decode()))
        if (place := self._place_map.image(answer.place)) is not None:
            log("place/image", self._image(place))
        log("state/probability", rerun.Scalars(answer.probability))
        log("state/similarity", rerun.Scalars(answer.matches[0].similarity))
        text = f"{answer.state.name}, place {answer.place}: {answer.reason or frame.name}"
        log("state/log", rerun.TextLog(text, level="WARN" if answer.state is State.LOST else "INFO"))
        if answer.prior:
            position = answer.prior.pose.position
            log("map/pose", rerun.Points3D([position], colors=_DRIVE, radii=-6.0))
            log("map/path", rerun.Points3D([position], colors=_DRIVE, radii=-3.0))
        else:
            log("map/pose", rerun.Clear(recursive=False))
        if (pose := self._place_map.pose(answer.place)) is not None:
            log("map/place", rerun.Points3D([pose.position], labels=[f"place {answer.place}"], radii=-5.0))

    def close(self) -> None:
        """Write what is still in memory, and let the file go."""
        self._stream.flush()
        self._stream.disconnect()

    def _image(self, image: np.ndarray) -> Any:
        data = encode_jpeg(resize_to_fit(image, _LONGEST), _QUALITY)
        return self._rerun.EncodedImage(contents=data, media_type="image/jpeg")

    def _layout(self) -> Any:
        """Map at the left, both images and the curves at the right; of the path all that was is seen."""
        import rerun.blueprint as views

        start = self._rerun.TimeRangeBoundary.infinite()
        end = self._rerun.TimeRangeBoundary.cursor_relative()
        until_now = views.VisibleTimeRanges(timeline=_TIMELINE, start=start, end=end)
        images = views.Horizontal(
            views.Spatial2DView(origin="query", name="query"),
            views.Spatial2DView(origin="place", name="place"),
        )
        curves = views.TimeSeriesView(origin="state", name="probability and similarity")
        told = views.TextLogView(origin="state", name="state")
        return views.Blueprint(
            views.Horizontal(
                views.Spatial3DView(origin="map", name="map", overrides={"map/path": until_now}),
                views.Vertical(images, curves, told, row_shares=[2, 1, 1]),
            ),
            collapse_panels=True,
        )
