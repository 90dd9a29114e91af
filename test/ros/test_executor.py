"""The executor beside a busy thread: each callback runs once, and none waits behind copies of others."""

from __future__ import annotations

import os
from threading import Event, Thread
from time import sleep
from typing import Any

import pytest

pytest.importorskip("rclpy")
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import UInt32

from netvlad_ros.executor import ThreadedExecutor
from support.robot import wait_until


@pytest.mark.usefixtures("ros")
def test_each_callback_runs_once_beside_a_busy_thread() -> None:
    namespace = f"/executor_{os.getpid()}"
    node, partner = Node("busy", namespace=namespace), Node("partner", namespace=namespace)
    heard: list[int] = []
    handed_out: list[Any] = []
    node.create_subscription(
        UInt32,
        "numbers",
        lambda message: heard.append(message.data),
        QoSProfile(depth=1000),
        callback_group=MutuallyExclusiveCallbackGroup(),
    )
    executor = ThreadedExecutor(num_threads=3)
    executor.add_node(node)
    submit = executor._executor.submit

    def noted(task: Any) -> Any:
        handed_out.append(task)
        return submit(task)

    executor._executor.submit = noted  # type: ignore[assignment, method-assign]
    stopped = Event()

    def keep_busy() -> None:
        while not stopped.is_set():
            sum(range(10_000))

    threads = [Thread(target=executor.spin, daemon=True), Thread(target=keep_busy, daemon=True)]
    for thread in threads:
        thread.start()
    publisher = partner.create_publisher(UInt32, "numbers", QoSProfile(depth=1000))
    wait_until(publisher.get_subscription_count, 20, "the subscription")
    for number in range(300):
        publisher.publish(UInt32(data=number))
        sleep(0.002)
    wait_until(lambda: len(heard) == 300, 60, "all messages")
    stopped.set()
    executor.shutdown()
    for thread in threads:
        thread.join(timeout=10)
    assert heard == list(range(300))
    assert len(handed_out) == len(set(handed_out))
    node.destroy_node()
    partner.destroy_node()
