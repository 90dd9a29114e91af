"""What both nodes are: lifecycle nodes that work on the moments of one camera; and how one runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import rclpy
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions

from netvlad_core.data.camera import Camera
from netvlad_core.data.geometry import Pose
from netvlad_core.errors import NetvladError
from netvlad_core.machine import keep_freed_memory
from netvlad_core.model.extractor import Extractor
from netvlad_ros.diagnostics import HealthReport, Problem
from netvlad_ros.executor import ThreadedExecutor
from netvlad_ros.guarded_node import GuardedNode
from netvlad_ros.moment import Moment
from netvlad_ros.parameters import NodeParameter, ParameterTable
from netvlad_ros.process import CANNOT_START, end_when_told, is_told, say, without_ros_arguments
from netvlad_ros.robot_input import RobotInput, sentence

# A thread for each of: images, odometry, calibration or diagnostics, services.
_THREADS = 4
_LOOK = 0.2  # seconds between two looks for signals


class CameraNode(GuardedNode):
    """A lifecycle node that works on the moments of one camera.

    A subclass fills in what it opens and closes (`configure`, `activate`, `deactivate`, `cleanup`), what it
    does with a moment (`work`) and what it must forget (`forget`). An error that one of the first two raises
    fails the transition, and stands in the log and in /diagnostics until the next one.

    Attributes
    ----------
    statistics : figures for /diagnostics.
    input : what the robot sends; it is open while the node is active.
    """

    def __init__(self, name: str, parameters: Sequence[NodeParameter], **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self._is_complete = False  # rclpy also destroys a node whose constructor has raised
        self._failure: Problem | None = None
        self._table = ParameterTable(self, parameters)
        self.input = RobotInput(
            self, self._table.value, self.statistics, self.work, self.forget, self.map_camera, self.wants
        )
        self._health_report = HealthReport(self, self.statistics, self._all_problems, self._all_facts)

    def start(self) -> None:
        """Configure and activate, if no lifecycle manager is to do so; the last line of a constructor."""
        self._is_complete = True
        if self.value("autostart") and self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def value(self, name: str) -> Any:
        """Value of a parameter: the present one if it is live, otherwise that of the last configuring."""
        return self._table.value(name)

    # --- What a subclass fills in ---------------------------------------------------------------------------

    def configure(self) -> None:
        """Open what the parameters name; `cleanup` follows if this raises."""

    def activate(self) -> None:
        """Get ready for the first moment; `deactivate` follows if this raises."""

    def deactivate(self) -> None:
        """Undo `activate`; no moment is in work any more."""

    def cleanup(self) -> None:
        """Undo `configure`."""

    def work(self, moment: Moment) -> None:
        """Work on one moment, in the thread of the input."""
        raise NotImplementedError

    def forget(self) -> None:
        """Nothing from before compares with what comes: a clock was set back or the odometry begins anew."""

    def wants(self, stamp: int, odometry: Pose | None) -> bool:
        """Whether an image at this stamp is worth its decoding."""
        return True

    def map_camera(self) -> Camera | None:
        """Camera of the open map, if there is one."""
        return None

    def extractor(self) -> Extractor | None:
        """The network that is open, if there is one."""
        return None

    def problems(self) -> list[Problem]:
        """What else keeps the active node from its work."""
        return []

    def facts(self) -> dict[str, str]:
        """Values that describe the node in /diagnostics."""
        return {}

    # --- Lifecycle (rclpy swallows what these raise, so they report it themselves) --------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open what the parameters name."""
        try:
            self._table.configure()
            self.configure()
        except Exception as error:
            self._close()
            return self._fail("not configured", sentence(error))
        self._failure = None
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to listen to the robot."""
        try:
            self.activate()
            self.input.open()
        except Exception as error:
            self.deactivate()
            return self._fail("not active", sentence(error))
        self._failure = None
        self.get_logger().info(f"listening to {self.input.topic}")
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening; what is open stays open."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close what was opened."""
        self._close()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and close."""
        self._stop()
        self._close()
        return super().on_shutdown(state)

    def destroy_node(self) -> None:
        """End the worker before the node goes."""
        if self._is_complete:
            self._stop()
        super().destroy_node()

    def _stop(self) -> None:
        self.input.close()
        self.deactivate()

    def _close(self) -> None:
        self._table.release()
        self.cleanup()

    def _fail(self, what: str, reason: str) -> TransitionCallbackReturn:
        self._failure = Problem(what, f"{what}: {reason}", is_fatal=True)
        if not is_told():  # a call in C that the signal has interrupted gives any reason at all
            self.get_logger().error(self._failure.message)
        return TransitionCallbackReturn.FAILURE

    # --- Health ---------------------------------------------------------------------------------------------

    def _all_problems(self) -> list[Problem]:
        if self._failure is not None:
            return [self._failure]
        if not self._table.is_configured:
            return [Problem("not configured", "not configured")]
        problems = [*self._network_problems(), *self.problems()]
        if not self.input.topic:
            return [*problems, Problem("not active", "not active")]
        return [*problems, *self.input.problems(), *self.callback_problems()]

    def _network_problems(self) -> list[Problem]:
        extractor = self.extractor()
        if extractor is None or not extractor.failure:
            return []
        now = f"the network runs on {extractor.runs_on} until the node is configured anew"
        return [Problem("device failed", f"{extractor.failure}; {now}")]

    def _all_facts(self) -> dict[str, str]:
        extractor, facts = self.extractor(), {"images from": self.input.topic}
        if extractor is not None:
            facts |= {"model_id": extractor.model_id, "engine": extractor.runs_on}
        return facts | self.facts()


def run_node(make: Callable[[], CameraNode], arguments: list[str] | None = None) -> int:
    """Run a node until SIGINT or SIGTERM; returns the exit status: 0, or `CANNOT_START`."""
    arguments = sys.argv if arguments is None else arguments
    program = Path(arguments[0] if arguments else "node").name
    executor: ThreadedExecutor | None = None
    node: CameraNode | None = None
    try:
        end_when_told()
        keep_freed_memory()
        # With rclpy's own handlers the publishers would break under the image that is in work.
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
        _check_arguments(without_ros_arguments(arguments[1:]))
        executor = ThreadedExecutor(num_threads=_THREADS)
        node = make()
        executor.add_node(node)
        while rclpy.ok() and not is_told():
            executor.spin_once(timeout_sec=_LOOK)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (NetvladError, InvalidParameterTypeException, InvalidParameterValueException) as error:
        say(program, error)
        return CANNOT_START
    except Exception as error:
        if node is not None:
            raise
        say(program, sentence(error))  # rclpy could not make sense of the arguments
        return CANNOT_START
    finally:
        if executor is not None:
            executor.shutdown()
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


def _check_arguments(others: list[str]) -> None:
    """Refuse what would be ignored; raises NetvladError."""
    if others:
        raise NetvladError(
            f"unknown arguments: {' '.join(others)}; expected --ros-args, then parameters as in "
            "-p map:=maps/campus and remappings as in -r image:=/camera/image_raw; "
            "docs/reference/nodes.md lists them"
        )
