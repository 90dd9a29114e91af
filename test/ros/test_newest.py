"""The worker takes the newest item, never the oldest."""

from __future__ import annotations

from threading import Event, Thread

import pytest

pytest.importorskip("rclpy")
from netvlad_ros.newest import NewestWorker


class Gate:
    """Work that waits until it is let through."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.entered = Event()
        self.opened = Event()

    def __call__(self, item: int) -> None:
        self.entered.set()
        assert self.opened.wait(10)
        self.done.append(item)


def test_newer_item_overtakes_the_waiting_one():
    gate = Gate()
    worker = NewestWorker(gate)
    assert not worker.put(1)
    assert gate.entered.wait(10)
    assert [worker.put(item) for item in (2, 3, 4)] == [False, True, True]
    finished = Event()
    last = NewestWorker(lambda item: finished.set())  # another worker does not mind
    gate.opened.set()
    last.put(0)
    assert finished.wait(10)
    last.stop()
    while len(gate.done) < 2:
        pass
    worker.stop()
    assert gate.done == [1, 4]


def test_stop_finishes_the_item_in_work_and_drops_the_waiting_one():
    gate = Gate()
    worker = NewestWorker(gate)
    worker.put(1)
    assert gate.entered.wait(10)
    worker.put(2)
    stopping = Thread(target=worker.stop)
    stopping.start()
    stopping.join(0.1)
    assert stopping.is_alive()  # it waits for the item in work
    gate.opened.set()
    stopping.join(10)
    assert not stopping.is_alive()
    assert gate.done == [1]


def test_nothing_is_worked_on_after_the_stop():
    gate = Gate()
    gate.opened.set()
    worker = NewestWorker(gate)
    worker.stop()
    worker.put(1)
    assert not gate.entered.wait(0.1)


def test_false_items_are_items():
    gate = Gate()
    gate.opened.set()
    worker = NewestWorker(gate)
    worker.put(0)
    assert gate.entered.wait(10)
    worker.stop()
    assert gate.done == [0]
