"""One deadline for all that a call does: credentials, helpers, attempts and pauses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Generic, TypeVar

_Result = TypeVar("_Result")

_current: ContextVar[Deadline | None] = ContextVar("ksm_storage_deadline", default=None)


class DeadlinePassedError(TimeoutError):
    """Report that the deadline of a call has passed, or leaves no time for what is next."""


class Deadline:
    """Count down from now; safe across threads."""

    def __init__(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds
        self._asked_since: float | None = None

    @property
    def remaining(self) -> float:
        """Seconds left, 0 at the end; the time in which a person types does not count."""
        now = time.monotonic() if self._asked_since is None else self._asked_since
        return max(0.0, self._ends_at - now)

    def allows(self, seconds: float) -> bool:
        """Tell whether something that may take so long can begin: a pause and its attempt."""
        return seconds <= self.remaining

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the countdown while a person is asked."""
        self._asked_since = time.monotonic()
        try:
            yield
        finally:
            self._ends_at += time.monotonic() - self._asked_since
            self._asked_since = None


@contextmanager
def deadline_of(seconds: float) -> Iterator[Deadline]:
    """Count so many seconds from here; an earlier deadline around this one stays in force."""
    outer = _current.get()
    sooner = outer is not None and outer.remaining <= seconds
    deadline = outer if outer is not None and sooner else Deadline(seconds)
    token = _current.set(deadline)
    try:
        yield deadline
    finally:
        _current.reset(token)


def current_deadline() -> Deadline | None:
    """Return the deadline of the call that this thread works for, None outside of one."""
    return _current.get()


def seconds_left() -> float:
    """Return the seconds until the deadline of the call: infinite outside of one.

    Raises:
        DeadlinePassedError: None are left.
    """
    deadline = _current.get()
    if deadline is None:
        return float("inf")
    left = deadline.remaining
    if left <= 0:
        raise DeadlinePassedError
    return left


def within_deadline(action: Callable[[], _Result]) -> _Result:
    """Return what the action returns, or give up when the deadline passes.

    SDKs bound each attempt, some of them; none bounds a name that does not resolve, a helper
    that hangs or a reply that trickles in. The action runs in a daemon thread, which is left
    behind if it does not end, and which does not keep the process from ending.

    Raises:
        DeadlinePassedError: The deadline passed.
        BaseException: What the action raised.
    """
    deadline = _current.get()
    if deadline is None:
        return action()
    run = _Run(action)
    # The context carries the deadline, and who is silent in the logs.
    thread = threading.Thread(target=copy_context().run, args=(run,), daemon=True)
    thread.start()
    # Again, because a person who was asked in between has stopped the countdown.
    while thread.is_alive() and (left := deadline.remaining) > 0:
        thread.join(left)
    if not run.is_done:
        raise DeadlinePassedError
    return run.result()


class _Run(Generic[_Result]):
    def __init__(self, action: Callable[[], _Result]) -> None:
        self._action = action
        self._results: list[_Result] = []
        self._failure: BaseException | None = None
        self.is_done = False

    def __call__(self) -> None:
        try:
            self._results.append(self._action())
        except BaseException as exc:  # noqa: BLE001  # raised again in the thread that waits
            self._failure = exc
        self.is_done = True

    def result(self) -> _Result:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        return self._results[0]
