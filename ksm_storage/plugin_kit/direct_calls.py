"""Calls to a key service without the vendor's client, which stands behind each of them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from .service_client import NotDirectError, deadline_of, lock_held, within_deadline

# The metadata services offer new credentials five minutes before the old ones expire.
RENEWAL_SECONDS = 240.0
# After a failure: a service that throttles is left to the client, which waits between attempts.
PAUSE_SECONDS = 1.0

_Prepared = TypeVar("_Prepared")
_Result = TypeVar("_Result")


class DirectCalls(Generic[_Prepared]):
    """Send calls directly, and again through the client if that fails; safe across threads.

    So the client's errors and repeats are the only ones that a user sees.

    Args:
        prepare: Checks the settings, reads the credentials and returns what ``send`` needs, or
            raises NotDirectError. Called once, and again after ``RENEWAL_SECONDS``, so that
            credentials do not expire in use.
        seconds: The time for a direct call; None for no such calls.
        deadline: Seconds for the direct call and the client's together; a direct call has at most
            half of them.
    """

    def __init__(
        self, prepare: Callable[[], _Prepared], *, seconds: float | None, deadline: float
    ) -> None:
        self._prepare = prepare
        self._seconds = seconds
        self._deadline = deadline
        self._held: tuple[_Prepared, float] | None = None
        self._resume_at = 0.0
        # By process: a lock that another thread held at a fork is never released in the child.
        self._locks: dict[int, threading.Lock] = {}

    def call(
        self, send: Callable[[_Prepared], _Result], through_client: Callable[[], _Result]
    ) -> _Result:
        """Return what ``send`` returns or, if that fails in any way, what the client does.

        ``send`` runs in this thread, and must end with the deadline.

        Raises:
            BaseException: What the call through the client raised; it does not name the direct one.
        """
        with deadline_of(self._deadline):
            if self._seconds is not None and not self._pauses():
                try:
                    with deadline_of(min(self._seconds, self._deadline / 2)):
                        return send(self._ready())
                except Exception:  # noqa: BLE001  # the client asks again, and reports
                    self._pause()
            return through_client()

    def _pause(self) -> None:
        # The credentials may have been revoked: the next direct call reads them again.
        self._held = None
        self._resume_at = time.monotonic() + PAUSE_SECONDS

    def _pauses(self) -> bool:
        return time.monotonic() < self._resume_at

    def _ready(self) -> _Prepared:
        held = self._held
        if held is None or time.monotonic() >= held[1]:
            with lock_held(self._locks.setdefault(os.getpid(), threading.Lock())):
                # Another thread may have renewed them meanwhile.
                newest = self._held
                held = self._renewed() if newest is None or newest is held else newest
                self._held = held
        return held[0]

    def _renewed(self) -> tuple[_Prepared, float]:
        # Those that waited for a failure do not wait for the next one.
        if self._pauses():
            raise NotDirectError("a moment ago it was not possible")
        try:
            found = within_deadline(self._prepare)
        except Exception:
            self._pause()
            raise
        return found, time.monotonic() + RENEWAL_SECONDS
