"""How long to wait when the server throttles, and who waits."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

# The service counts over 10 seconds and forgets after 10 seconds of silence; one more for clocks.
BASE_DELAY_SECONDS = 11.0
_JITTER = 0.25
# Some decades, with the jitter still within what every system can sleep.
_MAX_SLEEP_SECONDS = 1e9


# Looked up at each call, so that a program which replaces time.sleep is obeyed.
def default_sleep(seconds: float) -> None:
    time.sleep(seconds)


def _uniform(low: float, high: float) -> float:
    return random.uniform(low, high)  # noqa: S311 - it spreads waits, and keeps no secret


@dataclass(frozen=True, slots=True)
class BackoffPolicy:
    """Say how often and how long to wait before giving up.

    Attributes:
        retries: How often a throttled request is repeated; 0 to give up at once.
        max_wait_seconds: A longer wait is not begun.
        sleep: Waits, or returns what is to be awaited; tests give their own.
        uniform: Draws the jitter; tests give their own.
    """

    retries: int = 5
    max_wait_seconds: float = 240.0
    sleep: Callable[[float], object] = default_sleep
    uniform: Callable[[float, float], float] = _uniform

    def wait_seconds(self, attempt: int, *, asked: float) -> float | None:
        """Return how long to wait before repetition ``attempt`` (from 0), None to give up.

        The server's own wish is the minimum; without one the waits double, and the first is long
        enough for the server's counter to clear.
        """
        if attempt >= self.retries:
            return None
        wait = asked if asked > 0 else BASE_DELAY_SECONDS * 2**attempt
        if wait > min(self.max_wait_seconds, _MAX_SLEEP_SECONDS):
            return None
        # The jitter keeps many clients from returning at the same moment. It only lengthens: a
        # request before the counter has cleared is one more that counts.
        return wait + wait * max(0.0, self.uniform(0.0, _JITTER))


def asked_seconds(answer: Mapping[str, Any], header: str | None) -> float:
    """Return the larger of ``retry_after`` and the Retry-After header in seconds, or 0."""
    return max(_seconds(answer.get("retry_after")), _seconds(header))


def _seconds(value: object) -> float:
    # A date is a permitted form of the header; the service sends seconds.
    if not isinstance(value, (int, float, str)):
        return 0.0
    try:
        seconds = float(value)
    # OverflowError: JSON has integers beyond what a float holds.
    except (ValueError, OverflowError):
        return 0.0
    return seconds if 0 < seconds < float("inf") else 0.0


# Takes a lock as the caller's transport waits: a thread stands still, a task lets others run.
Acquire = Callable[[threading.Lock], Awaitable[None]]


class ThrottleGate:
    """Hold back all threads of a process while one of them waits for the server's counter.

    The server counts per client device and endpoint, and only silence clears the count. So one
    thread waits and tries again, and the others stand still until it has got through.
    """

    # For all clients of a process, whichever manager they belong to; and for this process alone:
    # after a fork nobody would ever open a gate that the parent's thread has closed.
    _gates: ClassVar[dict[tuple[int, str, str, str], ThrottleGate]] = {}
    _registry_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self._passed = 0

    @classmethod
    def of(cls, host: str, client_id: str, path: str) -> ThrottleGate:
        """Return the one gate of this client device and endpoint in this process."""
        key = (os.getpid(), host, client_id, path)
        gate = cls._gates.get(key)
        if gate is None:
            with cls._registry_lock:
                gate = cls._gates.setdefault(key, cls())
        return gate

    async def wait_until_open(self, acquire: Acquire) -> int:
        """Wait until the gate is open; the number is for :meth:`closed`."""
        if self._closed:
            await acquire(self._lock)
            self._lock.release()
        return self._passed

    @asynccontextmanager
    async def closed(self, seen: int, acquire: Acquire) -> AsyncIterator[bool]:
        """Hold the gate closed for the others; True if it is on the caller to wait.

        False means that another thread has waited and got through since ``seen``.
        """
        await acquire(self._lock)
        self._closed = True
        try:
            yield seen == self._passed
            self._passed += 1
        finally:
            self._closed = False
            self._lock.release()
