"""Ask the recipients of an envelope against the clock: bounded in time, or hedged.

Each unwrap runs in a thread of its own, because no plugin can be interrupted. A result that comes
after its recipient was given up is dropped, and no such thread keeps the process from ending.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from ..contract.key_wrapper import KeyUri
from ..errors import KsmStorageError, SettingsError, UnavailableError

_Result = TypeVar("_Result")
_Outcome = tuple[int, "_Result | None", "BaseException | None"]


class OpenTimeouts(NamedTuple):
    """Hold how long the recipients of an envelope may take.

    Attributes:
        timeout_seconds: The bound for all of them together; None for only the plugins' own.
        hedge_seconds: After how long without an answer the next recipient is asked as well;
            None to wait for the one before.
    """

    timeout_seconds: float | None
    hedge_seconds: float | None

    @classmethod
    def of(cls, timeout_seconds: float | None, hedge_seconds: float | None) -> OpenTimeouts | None:
        """Return the timeouts that a caller asked for, or None.

        Raises:
            SettingsError: A number is not finite and positive; a hedge may be zero.
        """
        if timeout_seconds is not None and not 0 < timeout_seconds < math.inf:
            raise SettingsError(
                f"the timeout must be a positive number of seconds, not {timeout_seconds!r}"
            )
        if hedge_seconds is not None and not 0 <= hedge_seconds < math.inf:
            raise SettingsError(
                f"the hedge must be a number of seconds from 0, not {hedge_seconds!r}"
            )
        if timeout_seconds is None and hedge_seconds is None:
            return None
        return cls(_waited(timeout_seconds), _waited(hedge_seconds))


def _waited(seconds: float | None) -> float | None:
    # No longer wait is possible, and 292 years will do.
    return None if seconds is None else min(seconds, threading.TIMEOUT_MAX)


def attempt_in_time(
    keys: Sequence[KeyUri], attempt: Callable[[int], _Result], timeouts: OpenTimeouts
) -> tuple[_Result | None, list[KsmStorageError]]:
    """Return the first result, or None; and the error of each key that gave none so far.

    Args:
        keys: The keys, in the order in which they are asked.
        attempt: Called with the place of a key, in a thread; raises documented errors.
        timeouts: How long to wait.
    """
    attempts = _Attempts(keys, attempt, timeouts)
    return attempts.run(), [attempts.errors[place] for place in sorted(attempts.errors)]


class _Attempts(Generic[_Result]):
    def __init__(
        self, keys: Sequence[KeyUri], attempt: Callable[[int], _Result], timeouts: OpenTimeouts
    ) -> None:
        self._keys = keys
        self._attempt = attempt
        self._hedge = timeouts.hedge_seconds
        self._end = time.monotonic() + (timeouts.timeout_seconds or math.inf)
        self._outcomes: queue.SimpleQueue[_Outcome[_Result]] = queue.SimpleQueue()
        self._started = 0
        self._waiting: dict[int, tuple[float, float]] = {}  # place -> when asked, when given up
        self._next_start = -math.inf
        self.errors: dict[int, KsmStorageError] = {}

    def run(self) -> _Result | None:
        while True:
            now = time.monotonic()
            self._give_up(now)
            if self._started < len(self._keys) and (not self._waiting or now >= self._next_start):
                self._start(now)
                continue
            if not self._waiting:
                return None
            try:
                place, result, error = self._outcomes.get(timeout=self._pause(now))
            except queue.Empty:
                continue
            if place not in self._waiting:
                # It was given up: its time went to the next one, and its error is recorded.
                continue
            del self._waiting[place]
            if error is None:
                return result
            if not isinstance(error, KsmStorageError):
                raise error
            self.errors[place] = error

    def _start(self, now: float) -> None:
        place = self._started
        self._started += 1
        share = (self._end - now) / (len(self._keys) - place)
        if self._hedge is None:
            # What is left is shared out, so that the last one has its part of it, too.
            until, self._next_start = now + share, math.inf
        else:
            until, self._next_start = self._end, now + min(self._hedge, share)
        self._waiting[place] = (now, until)
        # Daemon: the process may end while a service still does not answer.
        threading.Thread(
            target=self._ask, args=(place,), name="ksm-storage-unwrap", daemon=True
        ).start()

    def _ask(self, place: int) -> None:
        try:
            self._outcomes.put((place, self._attempt(place), None))
        # It is raised again in the thread that waits.
        except BaseException as exc:  # noqa: BLE001
            self._outcomes.put((place, None, exc))

    def _give_up(self, now: float) -> None:
        for place, (asked, until) in list(self._waiting.items()):
            if now >= until:
                del self._waiting[place]
                self.errors[place] = _no_answer(self._keys[place], until - asked)

    def _pause(self, now: float) -> float | None:
        wake = min(until for _, until in self._waiting.values())
        if self._started < len(self._keys):
            wake = min(wake, self._next_start)
        return None if wake == math.inf else max(0.0, wake - now)


def _no_answer(key: KeyUri, seconds: float) -> UnavailableError:
    return UnavailableError(
        f"the key service did not answer within {seconds:.3g} seconds",
        hint="retry, or allow more time with --timeout or timeout=",
        provider=key.provider,
        key=str(key),
        operation="unwrap",
    )
