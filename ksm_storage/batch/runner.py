"""Run one function on each of many files, and report the results in the order of the files.

A command provides two functions of a path. ``work`` processes one file: it raises
``KsmStorageError`` if it fails, and returns a ``FileResult`` that says so if the file needed no
change. Whether a file is done is read from the file itself, so an interrupted run is resumed by
repeating it. ``service_of`` names the key service before anything is called.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from ..errors import KsmStorageError
from .provider_queue import BackoffPolicy, JobResult, ProviderQueue, Work

if TYPE_CHECKING:
    from .forked_queue import ForkedQueue

# How far the fastest file may be ahead of the slowest: it bounds the memory, and lets other key
# services continue while one throttles.
WINDOW = 1024

ServiceOf = Callable[[str], str]


class Deadline(NamedTuple):
    """Hold when a batch must end, and the error of each file that is not done by then."""

    at: float
    error: Callable[[], KsmStorageError]

    @property
    def seconds_left(self) -> float:
        """The time until then; negative once it has passed."""
        return self.at - time.monotonic()


class Runner:
    """Process files in parallel.

    Args:
        work: Called with each path, from several threads.
        service_of: The key service of a path; an error here is left for ``work`` to raise.
        limit: Maximum files of one key service processed at once.
        backoff: How to wait for a service that throttles.
        deadline: When to give up the files that are not done; nobody waits for their threads.
        forked: The services whose files are computation, which threads of one process cannot
            share: processed in forked processes where that is possible. What ``work`` changes in
            memory stays there.
        on_stop: Called once by :meth:`run`, when it has noticed the stop.
    """

    def __init__(
        self,
        work: Work,
        *,
        service_of: ServiceOf,
        limit: int,
        backoff: BackoffPolicy | None = None,
        deadline: Deadline | None = None,
        forked: Collection[str] = (),
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        self._deadline, self._forked = deadline, forked
        self._on_stop, self._is_stopping = on_stop, False
        self._work, self._service_of = work, service_of
        self._limit, self._backoff = limit, backoff or BackoffPolicy()
        self._stopped = threading.Event()
        self._queues: dict[str, ProviderQueue | ForkedQueue] = {}
        self._results: queue.SimpleQueue[JobResult | BaseException] = queue.SimpleQueue()

    def stop(self) -> None:
        """Start no further file; those in progress finish. Safe to call from a signal handler."""
        self._stopped.set()

    def run(self, paths: Iterable[str]) -> Iterator[JobResult]:
        """Yield the result of each file, in the order of the paths.

        After :meth:`stop`, waiting files are yielded as not started, and paths that were not yet
        read are not yielded.
        """
        early: dict[int, JobResult] = {}
        unfinished: dict[int, str] = {}
        taken = given = 0
        source = iter(paths)
        more = True
        try:
            while more or given < taken:
                while more and taken - given < WINDOW and not self._stopped.is_set():
                    path = next(source, None)
                    more = path is not None
                    if path is not None:
                        unfinished[taken] = path
                        self._put(taken, path)
                        taken += 1
                if self._stopped.is_set():
                    more = False
                    self._notice_stop()
                if given < taken and given not in early:
                    early = {**self._received(unfinished), **early}
                while given in early:
                    del unfinished[given]
                    yield early.pop(given)
                    given += 1
        finally:
            self._end()

    @property
    def is_late(self) -> bool:
        """Whether the deadline has passed."""
        return self._deadline is not None and self._deadline.seconds_left <= 0

    def _put(self, number: int, path: str) -> None:
        if self.is_late:
            return
        try:
            service = self._service_of(path)
        # As for a name with a NUL byte.
        except (KsmStorageError, OSError, ValueError):
            service = ""
        if service in self._forked:
            # With the files that no service can be named for, which cost little.
            service = ""
        files = self._queues.get(service)
        if files is None:
            files = self._queues[service] = self._new_queue(service)
        files.put(number, path)

    def _new_queue(self, service: str) -> ProviderQueue | ForkedQueue:
        deadline = None if self._deadline is None else self._deadline.at
        how = (self._work, self._results.put, self._stopped, self._limit, self._backoff, deadline)
        if not service and self._forked and self._limit > 1:
            # Loaded for local keys only.
            from .forked_queue import ForkedQueue, may_fork

            if may_fork():
                # The system may allow no further process.
                with suppress(OSError):
                    return ForkedQueue(*how)
        return ProviderQueue(*how)

    def _received(self, unfinished: Mapping[int, str]) -> dict[int, JobResult]:
        """Wait for a result; once it is late, all that is unfinished has failed."""
        while True:
            wait = _GLANCE_SECONDS
            if self._deadline is not None:
                wait = max(0.0, min(wait, self._deadline.seconds_left))
            try:
                result = self._results.get(timeout=wait)
            except queue.Empty:
                if self._deadline is not None and self.is_late:
                    error = self._deadline.error
                    return {n: JobResult(n, p, error=error()) for n, p in unfinished.items()}
                if self._stopped.is_set():
                    self._notice_stop()
                continue
            if isinstance(result, BaseException):
                raise result
            return {result.number: result} if result.number in unfinished else {}

    def _end(self) -> None:
        self._stopped.set()
        self._wake()
        for files in self._queues.values():
            if self.is_late:
                files.abandon()
            else:
                files.close()

    def _notice_stop(self) -> None:
        if not self._is_stopping:
            self._is_stopping = True
            self._on_stop()
        self._wake()

    def _wake(self) -> None:
        # Not from stop(): a signal may come while this very thread holds a queue's lock.
        for files in self._queues.values():
            files.wake()


# How soon waiting files notice a stop.
_GLANCE_SECONDS = 0.2
