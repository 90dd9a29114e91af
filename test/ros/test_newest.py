"""The worker takes the newest item, never the oldest."""

from __future__ import annotations

from threading import Event, Thread
from time import monotonic, sleep

import pytest

pytest.importorskip("rclpy")
from netvlad_ros.newest import NewestWorker
from support.robot import wait_until


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
    dropped: list[int] = []
    worker = NewestWorker(gate, on_drop=dropped.append)
    worker.put(1)
    assert gate.entered.wait(10)
    for item in (2, 3, 4):
        worker.put(item)
    assert dropped == [2, 3]
    finished = Event()
    last: NewestWorker[int] = NewestWorker(lambda item: finished.set())  # another worker does not mind
    gate.opened.set()
    last.put(0)
    assert finished.wait(10)
    last.stop()
    wait_until(lambda: len(gate.done) == 2, 10, "the newest item")
    worker.stop()
    assert gate.done == [1, 4]


def test_item_that_is_not_ready_waits_and_the_newest_ready_one_is_taken():
    done: list[int] = []
    dropped: list[int] = []
    ready: set[int] = set()
    worker = NewestWorker(done.append, lambda item: 0.0 if item in ready else 60.0, dropped.append)
    for item in (1, 2, 3, 4):
        worker.put(item)
    sleep(0.1)
    assert (done, dropped) == ([], [])
    ready |= {1, 2, 3}
    worker.wake()
    wait_until(lambda: done == [3], 10, "the newest ready item")
    assert dropped == [1, 2]
    ready.add(4)
    worker.wake()
    wait_until(lambda: done == [3, 4], 10, "the last item")
    worker.stop()


def test_item_is_taken_when_its_patience_ends():
    done: list[float] = []
    until = monotonic() + 0.3
    worker: NewestWorker[int] = NewestWorker(
        lambda item: done.append(monotonic()), lambda item: until - monotonic()
    )
    worker.put(1)
    wait_until(lambda: done, 10, "the item")
    worker.stop()
    assert 0 <= done[0] - until < 0.2


def test_waiting_items_are_few_and_the_oldest_and_the_newest_stay():
    done: list[int] = []
    dropped: list[int] = []
    ready: set[int] = set()
    worker = NewestWorker(done.append, lambda item: 0.0 if item in ready else 60.0, dropped.append)
    for item in range(100):
        worker.put(item)
    assert dropped == list(range(7, 99))
    ready.add(0)
    worker.wake()
    wait_until(lambda: done == [0], 10, "the oldest item")
    ready.add(99)
    worker.wake()
    wait_until(lambda: done == [0, 99], 10, "the newest item")
    worker.stop()


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
