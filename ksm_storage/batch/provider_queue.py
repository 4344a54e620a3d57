"""The files of one key service: a bounded number at once, fewer while the service throttles."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from ..errors import KsmStorageError, ThrottledError

Status = Literal["done", "unchanged", "skipped", "failed"]


@dataclass(frozen=True, slots=True)
class FileResult:
    """Hold what was done to a file, or that nothing was needed.

    Attributes:
        result: One or two words for the closing table: ``sealed``, ``unchanged``.
        printed: Lines for stdout, if the command prints any for each file.
        said: Lines for stderr.
        content: The same as data, for ``--json``.
        exit_code: Not 0 if a finding needs attention although nothing failed.
        status: ``unchanged`` if nothing was needed, ``skipped`` in a dry run, ``failed`` if the
            content says why.
    """

    result: str
    printed: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    content: Mapping[str, Any] | None = None
    exit_code: int = 0
    status: Status = "done"


@dataclass(frozen=True, slots=True)
class JobResult:
    """Hold a file's position in the batch, its path and its result.

    ``done`` is None if the file failed, with ``error``, or was not started because the batch was
    interrupted.
    """

    number: int
    path: str
    done: FileResult | None = None
    error: KsmStorageError | None = None


class ServiceNeededError(BaseException):
    """Raised by the work on a file in a copy of the process: it is for the command's own."""


Work = Callable[[str], FileResult]
Report = Callable[[JobResult | BaseException], None]


class BackoffPolicy(NamedTuple):
    """Hold how often a throttled file is tried, and the pauses: doubled from first to maximum."""

    tries: int = 12
    first_seconds: float = 0.5
    max_seconds: float = 30.0


class ProviderQueue:
    """Process the files of one key service in threads of its own, so that no other one waits."""

    def __init__(
        self,
        work: Work,
        report: Report,
        stopped: threading.Event,
        limit: int,
        backoff: BackoffPolicy,
        deadline: float | None,
    ) -> None:
        self._work, self._report, self._stopped = work, report, stopped
        self._limit, self._backoff, self._deadline = limit, backoff, deadline
        self._files: queue.SimpleQueue[tuple[int, str] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._slot = threading.Condition()
        self._allowed = float(limit)
        self._running = 0
        self._resume_at = 0.0

    def put(self, number: int, path: str) -> None:
        """Add a file; its result is reported from another thread, if the system allows one."""
        if len(self._threads) < self._limit:
            # Daemon: a second Ctrl-C must not wait for a service that does not answer. A file is
            # replaced by a rename, so that it is whole even then.
            # In the caller's context: where a command keeps its records is part of it.
            thread = threading.Thread(
                target=copy_context().run,
                args=(self._run,),
                name="ksm-storage-batch",
                daemon=True,
            )
            # The system may allow no further thread: those that run are enough.
            with suppress(RuntimeError):
                thread.start()
                self._threads.append(thread)
        if self._threads:
            self._files.put((number, path))
        else:
            self._take(number, path)

    def close(self) -> None:
        """Wait until all files are done, and end the threads."""
        for _ in self._threads:
            self._files.put(None)
        for thread in self._threads:
            thread.join()

    def abandon(self) -> None:
        """Wait for nobody: the threads end with the process."""

    def wake(self) -> None:
        """Let waiting threads notice that the batch was stopped."""
        with self._slot:
            self._slot.notify_all()

    def _run(self) -> None:
        while (file := self._files.get()) is not None:
            self._take(*file)

    def _take(self, number: int, path: str) -> None:
        try:
            self._report(self._processed(number, path))
        # A bug of ours, or an exit: raised again in the thread that waits for it.
        except BaseException as exc:  # noqa: BLE001
            self._report(exc)

    def _processed(self, number: int, path: str) -> JobResult:
        for attempt in range(1, self._backoff.tries + 1):
            if not self._begun():
                break
            try:
                done = self._work(path)
            except KsmStorageError as exc:
                if not is_throttled(exc) or attempt == self._backoff.tries:
                    return JobResult(number, path, error=exc)
                self._slow_down(attempt)
                if self._deadline is not None and self._resume_at >= self._deadline:
                    # No time is left for another try: say why, and not that time is up.
                    return JobResult(number, path, error=exc)
            else:
                self._speed_up()
                return JobResult(number, path, done=done)
            finally:
                self._ended()
        return JobResult(number, path)

    def _begun(self) -> bool:
        with self._slot:
            while not self._stopped.is_set():
                pause = self._resume_at - time.monotonic()
                if pause <= 0 and self._running < max(1, int(self._allowed)):
                    self._running += 1
                    return True
                self._slot.wait(pause if pause > 0 else None)
        return False

    def _ended(self) -> None:
        with self._slot:
            self._running -= 1
            self._slot.notify()

    def _slow_down(self, attempt: int) -> None:
        _, first, longest = self._backoff
        pause = min(longest, first * 2 ** (attempt - 1)) * (0.5 + os.urandom(1)[0] / 510)
        with self._slot:
            now = time.monotonic()
            # Requests in flight together are throttled together: that counts as one.
            if now >= self._resume_at:
                self._allowed = max(1.0, self._allowed / 2)
            self._resume_at = max(self._resume_at, now + pause)

    def _speed_up(self) -> None:
        with self._slot:
            # One more at a time after each round of files that succeeded.
            self._allowed = min(float(self._limit), self._allowed + 1 / self._allowed)
            self._slot.notify()


def is_throttled(error: KsmStorageError) -> bool:
    """Tell whether a key service throttled the request, alone or as one of several causes."""
    return isinstance(error, ThrottledError) or any(map(is_throttled, error.causes))
