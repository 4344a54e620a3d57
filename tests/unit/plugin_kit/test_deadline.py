"""One deadline bounds everything that a call does."""

from __future__ import annotations

import os
import threading
import time

import pytest

from ksm_storage.plugin import (
    DeadlinePassedError,
    current_deadline,
    deadline_of,
    seconds_left,
    within_deadline,
)


def test_an_action_that_hangs_is_left_behind_at_the_deadline() -> None:
    never = threading.Event()
    started = time.monotonic()

    with deadline_of(0.2), pytest.raises(DeadlinePassedError):
        within_deadline(lambda: never.wait(60))

    assert 0.2 <= time.monotonic() - started < 5
    never.set()


def test_an_action_in_time_returns_its_result() -> None:
    with deadline_of(60):
        assert within_deadline(lambda: 7) == 7


def test_what_an_action_raises_is_raised_here() -> None:
    def fail() -> None:
        raise KeyError("x")

    with deadline_of(60), pytest.raises(KeyError):
        within_deadline(fail)


def test_an_action_knows_the_deadline_of_its_call() -> None:
    with deadline_of(60) as deadline:
        assert within_deadline(current_deadline) is deadline


def test_without_a_deadline_nothing_is_bounded() -> None:
    assert current_deadline() is None
    assert seconds_left() == float("inf")
    assert within_deadline(threading.current_thread) is threading.current_thread()


def test_the_sooner_of_two_deadlines_counts() -> None:
    with deadline_of(60) as outer:
        with deadline_of(3600):
            assert current_deadline() is outer
        with deadline_of(1):
            assert seconds_left() <= 1
        assert current_deadline() is outer


def test_no_time_left_is_an_error() -> None:
    with deadline_of(0), pytest.raises(DeadlinePassedError):
        seconds_left()


def test_what_does_not_fit_must_not_begin() -> None:
    with deadline_of(10) as deadline:
        assert deadline.allows(9)
        assert not deadline.allows(11)


def test_the_time_in_which_a_person_types_does_not_count() -> None:
    def type_slowly() -> float:
        deadline = current_deadline()
        assert deadline is not None
        with deadline.paused():
            time.sleep(0.4)
        return deadline.remaining

    with deadline_of(0.3):
        assert within_deadline(type_slowly) > 0.1


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="the system lists no threads")
def test_no_thread_is_still_ending_when_it_returns() -> None:
    # A child that was forked meanwhile would inherit the locks under which the thread ends.
    def left() -> bool:
        before = set(os.listdir("/proc/self/task"))
        with deadline_of(60):
            number = within_deadline(threading.get_native_id)
        return str(number) in set(os.listdir("/proc/self/task")) - before

    assert not any(left() for _ in range(500))
