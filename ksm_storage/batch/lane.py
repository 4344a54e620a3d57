"""The files of one key service: so many at a time, fewer while the service asks for patience."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from ..errors import KsmStorageError, ThrottledError
from .outcome import Done, Outcome

Work = Callable[[str], Done]
Report = Callable[["Outcome | BaseException"], None]


class Patience(NamedTuple):
    """Hold how often a throttled file is tried, and the pauses: doubled from first to longest."""

    tries: int = 12
    first_seconds: float = 0.5
    longest_seconds: float = 30.0


class Lane:
    """Work on the files of one key service in threads of its own, so that no other one waits."""

    def __init__(
        self, work: Work, report: Report, stopped: threading.Event, limit: int, patience: Patience
    ) -> None:
        self._work, self._report, self._stopped = work, report, stopped
        self._limit, self._patience = limit, patience
        self._files: queue.SimpleQueue[tuple[int, str] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._turn = threading.Condition()
        self._allowed = float(limit)
        self._running = 0
        self._resume_at = 0.0

    def put(self, number: int, path: str) -> None:
        """Take a file on; what becomes of it is reported from another thread."""
        self._files.put((number, path))
        if len(self._threads) < self._limit:
            # Daemon: a second Ctrl-C must not wait for a service that does not answer. A file is
            # replaced by a rename, so that it is whole even then.
            thread = threading.Thread(target=self._run, name="ksm-storage-fleet", daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """End the threads once all files are done."""
        for _ in self._threads:
            self._files.put(None)
        for thread in self._threads:
            thread.join()

    def wake(self) -> None:
        """Let threads that wait see that they were stopped."""
        with self._turn:
            self._turn.notify_all()

    def _run(self) -> None:
        while (file := self._files.get()) is not None:
            try:
                self._report(self._outcome(*file))
            # A fault of ours, or a wish to end: raised again in the thread that waits for it.
            except BaseException as exc:  # noqa: BLE001
                self._report(exc)

    def _outcome(self, number: int, path: str) -> Outcome:
        for attempt in range(1, self._patience.tries + 1):
            if not self._begun():
                break
            try:
                done = self._work(path)
            except KsmStorageError as exc:
                if not is_throttled(exc) or attempt == self._patience.tries:
                    return Outcome(number, path, error=exc)
                self._slow_down(attempt)
            else:
                self._speed_up()
                return Outcome(number, path, done=done)
            finally:
                self._ended()
        return Outcome(number, path)

    def _begun(self) -> bool:
        with self._turn:
            while not self._stopped.is_set():
                pause = self._resume_at - time.monotonic()
                if pause <= 0 and self._running < max(1, int(self._allowed)):
                    self._running += 1
                    return True
                self._turn.wait(pause if pause > 0 else None)
        return False

    def _ended(self) -> None:
        with self._turn:
            self._running -= 1
            self._turn.notify()

    def _slow_down(self, attempt: int) -> None:
        _, first, longest = self._patience
        pause = min(longest, first * 2 ** (attempt - 1)) * (0.5 + os.urandom(1)[0] / 510)
        with self._turn:
            now = time.monotonic()
            # Files that were under way together are refused together: that is one refusal.
            if now >= self._resume_at:
                self._allowed = max(1.0, self._allowed / 2)
            self._resume_at = max(self._resume_at, now + pause)

    def _speed_up(self) -> None:
        with self._turn:
            # One more at a time for each round of files that went well.
            self._allowed = min(float(self._limit), self._allowed + 1 / self._allowed)
            self._turn.notify()


def is_throttled(error: KsmStorageError) -> bool:
    """Tell whether a key service asked for fewer requests, alone or as one of several."""
    return isinstance(error, ThrottledError) or any(map(is_throttled, error.causes))
