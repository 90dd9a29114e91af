"""An error in a callback is told, and the node goes on."""

from __future__ import annotations

from collections.abc import Iterator
from time import time_ns
from typing import Any

import pytest

pytest.importorskip("rclpy")
from nav_msgs.msg import Odometry
from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import Trigger

from netvlad_ros.executor import ThreadedExecutor
from netvlad_ros.guarded_node import GuardedNode
from support.robot import raw, wait_until


def _fail(*arguments: Any) -> None:
    raise ZeroDivisionError(f"of {len(arguments)} arguments")


@pytest.fixture
def pair(ros) -> Iterator[tuple[GuardedNode, Node, ThreadedExecutor]]:
    """A node whose callbacks all fail, somebody beside it, and what runs both."""
    node, client = GuardedNode("failing"), Node("client")
    node.create_timer(0.01, _fail)
    node.create_subscription(String, "text", _fail, 10)
    node.create_service(Trigger, "trigger", _fail)
    executor = ThreadedExecutor(num_threads=2)
    executor.add_node(node)
    executor.add_node(client)
    yield node, client, executor
    executor.shutdown()
    node.destroy_node()
    client.destroy_node()


def test_timers_messages_and_calls_that_fail_are_told_and_end_nothing(pair, capfd) -> None:
    node, client, executor = pair
    publisher = client.create_publisher(String, "text", 10)
    caller = client.create_client(Trigger, "trigger")
    asked: list[Any] = []

    def failed(what: str) -> int:
        executor.spin_once(timeout_sec=0.1)  # raises what a callback raises
        publisher.publish(String(data="x"))
        if caller.service_is_ready() and not asked:
            asked.append(caller.call_async(Trigger.Request()))
        return int(node.statistics.values().get(f"callbacks left out: {what} failed: ZeroDivisionError", 0))

    for what in ("a timer", "a message on text", "a call of trigger"):
        wait_until(lambda what=what: failed(what), 20, what)
    wait_until(lambda: failed("a timer") > 3 and asked[0].done(), 20, "the answer to the call")
    assert not asked[0].result().success
    (problem,) = node.callback_problems()
    assert "failed: ZeroDivisionError: of " in problem.message
    assert capfd.readouterr().err.count("a timer failed: ZeroDivisionError; the node goes on\nTraceback") == 1


def test_the_localizer_answers_though_its_odometry_fails(start, street, map_path, monkeypatch) -> None:
    robot = start(map=map_path)
    robot.may_fail = True
    robot.wait_until_it_answers()
    monkeypatch.setattr(robot.node.input._odometry, "hear", _fail)
    robot.odometry.publish(Odometry())
    wait_until(robot.node.callback_problems, 20, "the failure")
    robot.diagnostics(lambda message, values: "failed: ZeroDivisionError" in message)
    assert robot.ask(raw(street.queries[9], time_ns())).matches[0].place_id == 9
