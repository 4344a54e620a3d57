"""Run one piece of work on each of many files, and report in the order of the files.

A command gives two functions of a path. ``work`` does all that is to be done to one file, raises
``KsmStorageError`` if it cannot, and says in its ``Done`` if the file needed nothing: whether a
file is done is seen from the file, so a run that was interrupted is repeated as it was.
``service_of`` names the key service, before anything is called. See ``cli/many_files.py`` for how
a command uses it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator

from ..errors import KsmStorageError
from .lane import Lane, Patience, Work
from .outcome import Outcome

# So far may the fastest file be ahead of the slowest: it bounds the memory, and lets other key
# services go on while one asks for patience.
WINDOW = 1024

ServiceOf = Callable[[str], str]


class Runner:
    """Work on files in parallel.

    Args:
        work: Called with each path, from several threads.
        service_of: The key service of a path; what it raises is left for ``work`` to raise.
        limit: How many files of one key service are worked on at a time.
        patience: How a service that throttles is waited for.
    """

    def __init__(
        self,
        work: Work,
        *,
        service_of: ServiceOf,
        limit: int,
        patience: Patience | None = None,
    ) -> None:
        self._work, self._service_of = work, service_of
        self._limit, self._patience = limit, patience or Patience()
        self._stopped = threading.Event()
        self._lanes: dict[str, Lane] = {}
        self._results: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()

    def stop(self) -> None:
        """Begin no further file; those under way are finished. May be called from a signal."""
        self._stopped.set()

    def run(self, paths: Iterable[str]) -> Iterator[Outcome]:
        """Yield what became of each file, in the order of the paths.

        After :meth:`stop` the files that were waiting come out as not begun, and those that were
        not yet asked for do not come out at all.
        """
        early: dict[int, Outcome] = {}
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
        lane = self._lanes.get(service)
        if lane is None:
            lane = Lane(self._work, self._results.put, self._stopped, self._limit, self._patience)
            self._lanes[service] = lane
        lane.put(number, path)
        return True

    def _receive(self, early: dict[int, Outcome]) -> None:
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
        for lane in self._lanes.values():
            lane.close()

    def _wake(self) -> None:
        # Not from stop(): a signal may come while this very thread holds a lane's lock.
        for lane in self._lanes.values():
            lane.wake()


# How soon a stop is noticed by files that wait for their turn.
_GLANCE_SECONDS = 0.2
