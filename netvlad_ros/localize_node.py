"""The localizer as a ROS 2 lifecycle node: images in; matches, pose, markers and diagnostics out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

from netvlad_core.data.camera import Camera
from netvlad_core.errors import MapError, NetvladError
from netvlad_core.geometry.local_features import LocalFeatures
from netvlad_core.localization.answer import Localization
from netvlad_core.localization.extending import Extended
from netvlad_core.localization.last_place import LastPlace
from netvlad_core.localization.localizer import Localizer
from netvlad_core.localization.localizer_options import LocalizerOptions
from netvlad_core.localization.observation import Observation
from netvlad_core.localization.recorded_drive import RecordedDrive
from netvlad_core.localization.tracking.sequence_filter import State
from netvlad_core.model.extractor import Extractor
from netvlad_core.settings import with_settings
from netvlad_ros.answers import Answers
from netvlad_ros.camera_node import CameraNode, run_node
from netvlad_ros.diagnostics import Problem
from netvlad_ros.fleet_map import FleetMap, folder_of_site
from netvlad_ros.map_services import MapServices
from netvlad_ros.memory import Memory
from netvlad_ros.moment import Moment
from netvlad_ros.open_map import OpenMap
from netvlad_ros.parameters import PARAMETERS, SETTINGS
from netvlad_ros.robot_input import sentence
from netvlad_ros.services import folder_of, maps_folder
from netvlad_ros.verification_budget import UNREADABLE, USUAL_TIME, VerificationBudget

_NO_MAP = "no map is open; call the service load_map or set the parameter map"


class LocalizeNode(CameraNode):
    """Finds camera images in a map.

    Configuring opens the map and warms the network up; activating subscribes to the images. The network runs
    in a worker thread of its own, so the executor always answers. Topics and services are there as long as
    the node is: whatever its state, a caller gets an answer and diagnostics tell what is missing.
    """

    def __init__(self, **kwargs: Any) -> None:
        self._map = OpenMap(lambda place_map: self.answers.tell_map(place_map))
        self._to_forget = Event()
        self._option_values: dict[str, Any] = {}
        self._last_options = LocalizerOptions()
        super().__init__("localizer", PARAMETERS, **kwargs)
        self._memory = Memory(self.value("state_file"))
        self._recalled: LastPlace | None = None
        self._recorded: RecordedDrive | None = None
        self._budget = VerificationBudget()
        self._odometry_frame = ""
        self.answers = Answers(self, self.statistics)
        MapServices(self, self._map, self.answers, self.open_map, self.forget, self._extend)
        FleetMap(self, self._map, self.open_map)
        self.start()

    @property
    def localizer(self) -> Localizer | None:
        """The open map with its network, or None."""
        return self._map.localizer

    # --- Lifecycle ------------------------------------------------------------------------------------------

    def configure(self) -> None:
        """Open the map named by the parameters, or the last one, or wait for the service load_map."""
        self._map.allow()
        try:
            self._memory.read()
        except NetvladError as error:
            self.get_logger().warning(sentence(error))
        if self.value("map"):
            self.open_map(self.value("map"))
        elif self._memory.last is not None:
            self._open_last(self._memory.last)
        elif (fetched := folder_of_site(self.value)) is not None and fetched.is_dir():
            self.open_map(str(fetched))
        else:
            self.get_logger().warning("the parameter 'map' is empty: waiting for the service ~/load_map")

    def _open_last(self, last: LastPlace) -> None:
        try:
            self.open_map(str(folder_of(last.map_path, maps_folder(self.value))))
        except NetvladError as error:
            text = f"the last map cannot be opened again: {error}; waiting for the service ~/load_map"
            self.get_logger().warning(text)

    def activate(self) -> None:
        """Open the outputs for other programs; the drive begins near the last place, if there is one."""
        self.forget()
        self._recalled = self._memory.last
        self._memory.start()
        self.answers.open_outputs()

    def deactivate(self) -> None:
        """Close the outputs."""
        self._memory.stop()
        self.answers.close_outputs()

    def cleanup(self) -> None:
        """Close the map."""
        self._map.close()
        self._recorded = None

    def open_map(self, path: str) -> None:
        """Open a map and its network; on an error the map that was open stays so.

        Raises
        ------
        NetvladError
            If the map or its network cannot be used, or the node is not configured.
        """
        value = self.value
        opened = self._map.open(path, value("weights"), value("device"), self._options(), value("precision"))
        most = value("recorded_keyframes")
        self._recorded = RecordedDrive(opened.place_map, most) if most else None
        self.forget()
        facts = opened.place_map.header
        self._memory.begin(opened.place_map.path, facts.map_id)
        self.get_logger().info(
            f"map {facts.map_id}: {facts.places} places, model {facts.model_id}, "
            f"on {opened.extractor.runs_on}"
        )

    # --- Work -----------------------------------------------------------------------------------------------

    def work(self, moment: Moment) -> None:
        """Answer one moment: observe, track, publish."""
        localizer = self._map.with_options(self._options())
        if localizer is None:
            raise NetvladError(_NO_MAP)
        if self._to_forget.is_set():
            self._to_forget.clear()
            self._begin(localizer, moment.stamp)
            if self._recorded is not None:
                self._recorded.forget()
        observe = localizer.observe
        budget = self._budget
        if observe.features and not budget.begin(self._verification_time(localizer)):
            observe = replace(observe, features=0)
        timed = budget.timer(self.statistics.timed)
        observation = observe(moment.image, moment.stamp, moment.odometry, moment.camera, timed=timed)
        with self.statistics.timed("search"):
            try:
                answer = self._judged(localizer, observation)
            except MapError as error:  # another program has written into the map
                self.answers.publish_lost(moment, sentence(error), localizer.place_map)
                raise
        if localizer.observe.features and (left_out := budget.end()):
            self.statistics.count(left_out)
        with self.statistics.timed("publish"):
            is_current = not self._to_forget.is_set()
            self.answers.publish(moment, answer, localizer.place_map, is_current)
        self._keep(answer)
        self._record(moment, answer, localizer, observation.features)

    def _judged(self, localizer: Localizer, observation: Observation) -> Localization:
        """The answer; with `auto` not verified if another program has written into the local features."""
        judge = localizer.track if localizer.options.sequence_filter else localizer.locate
        options = localizer.options.verification
        try:
            return judge(observation, self._budget.has_time)
        except MapError:
            if observation.features is None or options is None or not options.needs_features:
                raise
            self.statistics.count(UNREADABLE)
            return judge(replace(observation, features=None), self._budget.has_time)

    def _verification_time(self, localizer: Localizer) -> float:
        """Seconds that verification may add to an image; 0 is no bound."""
        options, bound = localizer.options.verification, self.value("verification_budget")
        if bound < 0:
            return USUAL_TIME if options is not None and options.needs_features else 0.0
        return 1e-3 * bound

    def _begin(self, localizer: Localizer, stamp: int) -> None:
        """Begin a drive, near the last place if one is recalled."""
        localizer.forget()
        self.answers.forget()  # again: an image that was in work may have been told meanwhile
        recalled, self._recalled = self._recalled, None
        if recalled is not None and recalled.place >= 0:
            try:
                localizer.expect(recalled, stamp)
            except MapError as error:
                self.get_logger().warning(f"the drive begins anywhere on the map: {error}")
        elif self._memory.last is not None:
            self._memory.keep(replace(self._memory.last, place=-1))

    def _keep(self, answer: Localization) -> None:
        last = self._memory.last
        if last is not None and answer.state is State.LOCALIZED:
            turned = answer.belief is not None and answer.belief.is_reversed
            self._memory.keep(replace(last, place=answer.place, stamp=answer.stamp, is_reversed=turned))

    def _record(
        self, moment: Moment, answer: Localization, localizer: Localizer, features: LocalFeatures | None
    ) -> None:
        recorded = self._recorded
        if recorded is not None and recorded.place_map is localizer.place_map:
            self._odometry_frame = moment.odometry_frame
            kept = features if localizer.place_map.features else None
            recorded.add(answer, moment.image, moment.odometry, moment.camera, kept)

    def _extend(self, output: Path) -> Extended:
        """Write the open map with what is new in the drive so far; raises NetvladError."""
        if self._recorded is None:
            raise NetvladError(
                "the node keeps no keyframes of the drive, with which the map could be extended: set the "
                "parameter recorded_keyframes, e.g. to 5000, and configure the node anew"
            )
        return self._recorded.extend(output, self._odometry_frame or "odom")

    def forget(self) -> None:
        """Have the sequence filter and the outputs forget where the robot was."""
        self._recalled = None
        self._to_forget.set()
        self.answers.forget()

    def map_camera(self) -> Camera | None:
        return None if self.localizer is None else self.localizer.place_map.camera

    # --- Health ---------------------------------------------------------------------------------------------

    def extractor(self) -> Extractor | None:
        return None if self.localizer is None else self.localizer.extractor

    def problems(self) -> list[Problem]:
        localizer = self.localizer
        if localizer is None:
            return [Problem("no map", _NO_MAP, is_fatal=True)]
        memory = [Problem("state file", self._memory.problem)] if self._memory.problem else []
        doubt = [Problem("small images", localizer.doubt)] if localizer.doubt else []
        return [*memory, *doubt]

    def facts(self) -> dict[str, str]:
        return {} if self.localizer is None else {"map_id": self.localizer.place_map.header.map_id}

    # --- Parameters -----------------------------------------------------------------------------------------

    def _options(self) -> LocalizerOptions:
        """Options as the parameters say now; the same object as long as they say the same."""
        values = {name: self.value(name) for name in SETTINGS}
        if values != self._option_values:
            self._option_values, self._last_options = values, with_settings(LocalizerOptions(), values)
        return self._last_options


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is told to stop."""
    return run_node(LocalizeNode, arguments)
