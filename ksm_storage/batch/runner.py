"""Run one function on each of many files, and report the results in the order of the files.

A command provides two functions of a path. ``work`` processes one file: it raises
``KsmStorageError`` if it fails, and returns a ``FileResult`` that says so if the file needed no
change. Whether a file is done is read from the file itself, so an interrupted run is resumed by
repeating it. ``service_of`` names the key service before anything is called.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator

from ..errors import KsmStorageError
from .provider_queue import BackoffPolicy, JobResult, ProviderQueue, Work

# How far the fastest file may be ahead of the slowest: it bounds the memory, and lets other key
# services continue while one throttles.
WINDOW = 1024

ServiceOf = Callable[[str], str]


class Runner:
    """Process files in parallel.

    Args:
        work: Called with each path, from several threads.
        service_of: The key service of a path; an error here is left for ``work`` to raise.
        limit: Maximum files of one key service processed at once.
        backoff: How to wait for a service that throttles.
    """

    def __init__(
        self,
        work: Work,
        *,
        service_of: ServiceOf,
        limit: int,
        backoff: BackoffPolicy | None = None,
    ) -> None:
        self._work, self._service_of = work, service_of
        self._limit, self._backoff = limit, backoff or BackoffPolicy()
        self._stopped = threading.Event()
        self._queues: dict[str, ProviderQueue] = {}
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
        taken = given = 0
        source = iter(paths)
        more = True
        try:
            while more or given < taken:
                while more and taken - given < WINDOW and not self._stopped.is_set():
                    more = self._put_next(taken, source)
                    taken += more
                more = more and not self._stopped.is_set()
                if given < taken and given not in early:
                    self._receive(early)
                while given in early:
                    yield early.pop(given)
                    given += 1
        finally:
            self._end()

    def _put_next(self, number: int, source: Iterator[str]) -> bool:
        path = next(source, None)
        if path is None:
            return False
        try:
            service = self._service_of(path)
        except (KsmStorageError, OSError):
            service = ""
        files = self._queues.get(service)
        if files is None:
            files = ProviderQueue(
                self._work, self._results.put, self._stopped, self._limit, self._backoff
            )
            self._queues[service] = files
        files.put(number, path)
        return True

    def _receive(self, early: dict[int, JobResult]) -> None:
        while True:
            try:
                result = self._results.get(timeout=_GLANCE_SECONDS)
                break
            except queue.Empty:
                if self._stopped.is_set():
                    self._wake()
        if isinstance(result, BaseException):
            raise result
        early[result.number] = result

    def _end(self) -> None:
        self._stopped.set()
        self._wake()
        for files in self._queues.values():
            files.close()

    def _wake(self) -> None:
        # Not from stop(): a signal may come while this very thread holds a queue's lock.
        for files in self._queues.values():
            files.wake()


# How soon waiting files notice a stop.
_GLANCE_SECONDS = 0.2
