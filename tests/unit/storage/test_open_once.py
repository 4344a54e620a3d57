"""Threads that ask for the same thing at once share one call, and nothing is kept after it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest

from ksm_storage.errors import UnavailableError
from ksm_storage.storage.snapshot import open_once
from tests.unit.storage import forked
from tests.unit.storage.test_threads_and_forks import at_once

THREADS = 16


class Meeting:
    """Hold what the threads ask for, and who met: each comparison is one that joins another."""

    def __init__(self, others: int = THREADS - 1) -> None:
        self._others = others
        self._joined = 0
        self._complete = threading.Event()
        self.calls = 0

    def __eq__(self, other: object) -> bool:
        self._joined += 1
        if self._joined == self._others:
            self._complete.set()
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def call(self) -> str:
        """Wait until all the others have joined this call."""
        self.calls += 1
        assert self._complete.wait(20)
        return f"call {self.calls}"


def test_one_call_is_made_for_all() -> None:
    meeting = Meeting()

    results = at_once(lambda _: open_once(meeting, meeting.call), threads=THREADS)

    assert results == ["call 1"] * THREADS


def test_nothing_is_kept_after_the_call() -> None:
    assert [open_once("a", iter([n]).__next__) for n in range(3)] == [0, 1, 2]


def test_what_the_call_raises_is_raised_in_each_of_them_and_not_kept() -> None:
    meeting = Meeting()

    def fail() -> str:
        raise UnavailableError(meeting.call())

    def work(_: int) -> str:
        with pytest.raises(UnavailableError) as caught:
            open_once(meeting, fail)
        return caught.value.message

    assert at_once(work, threads=THREADS) == ["call 1"] * THREADS
    assert open_once(meeting, lambda: "opened") == "opened"


def test_another_thread_makes_the_call_that_one_gave_up() -> None:
    meeting = Meeting(others=1)

    def give_up() -> str:
        meeting.call()
        raise KeyboardInterrupt

    calls: list[Callable[[], str]] = [give_up, lambda: "made by another"]
    outcomes: list[str] = []

    def work() -> None:
        try:
            outcomes.append(open_once(meeting, lambda: calls.pop(0)()))
        except KeyboardInterrupt:
            outcomes.append("given up")

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(outcomes) == ["given up", "made by another"]


def test_other_things_are_not_waited_for() -> None:
    inside, done = threading.Event(), threading.Event()

    def wait() -> bool:
        inside.set()
        return done.wait(20)

    thread = threading.Thread(target=lambda: open_once("slow", wait))
    thread.start()
    assert inside.wait(20)

    assert open_once("other", lambda: "opened") == "opened"

    done.set()
    thread.join()


def test_a_call_may_ask_for_itself() -> None:
    assert open_once("a", lambda: open_once("a", lambda: "inner")) == "inner"


def test_a_child_that_is_forked_meanwhile_waits_for_nobody() -> None:
    inside, done = threading.Event(), threading.Event()
    parent = os.getpid()

    def wait() -> bool:
        inside.set()
        return done.wait(20)

    thread = threading.Thread(target=lambda: open_once("slow", wait))
    thread.start()
    assert inside.wait(20)

    def work() -> None:
        assert open_once("slow", os.getpid) == os.getpid() != parent

    status = forked.run(work)
    done.set()
    thread.join()

    assert status == 0
