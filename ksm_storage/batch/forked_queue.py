"""The files of a local key: processed in forked processes, one for each core.

Opening a file under a local key is computation, and the interpreter's lock lets one thread of a
process compute at a time. A child holds a :class:`ProviderQueue`, so that what is true of a
thread's files (how many at once, the pauses, the deadline) is true of a child's files.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from contextvars import copy_context
from typing import IO

from ..errors import StorageError
from ..process import no_core_dumps
from .crossing import Logged, LogOnce, log_by, pickled
from .provider_queue import (
    BackoffPolicy,
    FileResult,
    JobResult,
    ProviderQueue,
    Report,
    ServiceNeededError,
    Work,
)

# Threads that hold no lock while another one forks: the command's watch over clock and stderr.
_HARMLESS = ("MainThread", "ksm-storage-watch", "ksm-storage-stderr")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# What a child says of a file that is not for it.
_ELSEWHERE = FileResult("elsewhere")


class ForkedQueue:
    """Process the files of one local key in child processes; see :func:`may_fork`.

    Raises:
        OSError: The system allows no further process.
    """

    def __init__(
        self,
        work: Work,
        report: Report,
        stopped: threading.Event,
        limit: int,
        backoff: BackoffPolicy,
        deadline: float | None,
    ) -> None:
        self._stopped = stopped
        self._told = False
        cores = len(os.sched_getaffinity(0))
        count = min(cores, limit)
        children: list[_Child] = []
        for place in range(count):
            # The first ones get one more where the limit is no multiple.
            share = limit // count + (place < limit % count)
            # Too many processes or open files: those that were made are enough.
            with contextlib.suppress(OSError):
                children.append(_Child(work, share, backoff, deadline, older=tuple(children)))
        # Threads last: a thread that runs while the process forks may hold a lock.
        log = LogOnce().log
        self._here = ProviderQueue(work, report, stopped, limit, backoff, deadline)
        self._lock = threading.Lock()
        parts = (report, log, self._take_back)
        self._children = [child for child in children if child.listen(*parts)]
        if not self._children:
            raise OSError(errno.EAGAIN, "no process could be started")

    def put(self, number: int, path: str) -> None:
        """Add a file; its result is reported from another thread."""
        # One that is gone has nothing to do, and would be given all that follows.
        alive = [child for child in self._children if not child.is_gone] or self._children
        child = min(alive, key=lambda each: len(each.unfinished))
        child.put(number, path)

    def close(self) -> None:
        """Wait until all files are done, and end the processes."""
        for child in self._children:
            child.close()
        self._here.close()

    def abandon(self) -> None:
        """End the processes without waiting for their files, each of which stays whole."""
        for child in self._children:
            child.abandon()

    def wake(self) -> None:
        """Let the processes notice that the batch was stopped."""
        self._here.wake()
        if self._stopped.is_set() and not self._told:
            self._told = True
            for child in self._children:
                child.stop()

    def _take_back(self, number: int, path: str) -> None:
        with self._lock:
            self._here.put(number, path)


def may_fork() -> bool:
    """Tell whether this process can be copied safely, and whether that helps.

    A copy has one thread; a lock that another thread holds at that moment stays locked in it. So
    this is before any library has started threads, and on Linux, where system libraries allow it.
    """
    if sys.platform != "linux" or len(os.sched_getaffinity(0)) == 1:
        return False
    threads = threading.enumerate()
    if not {thread.name for thread in threads} <= set(_HARMLESS):
        return False
    with contextlib.suppress(OSError):
        # A C library's threads are unknown to Python; where /proc is missing, nobody knows them.
        if len(os.listdir("/proc/self/task")) > len(threads):
            return False
    return threading.current_thread().name == "MainThread"


class _Child:
    """One forked process, and the files that it has not finished."""

    def __init__(
        self,
        work: Work,
        limit: int,
        backoff: BackoffPolicy,
        deadline: float | None,
        *,
        older: tuple[_Child, ...],
    ) -> None:
        self.unfinished: dict[int, str] = {}
        self.is_gone = False
        for stream in (sys.stdout, sys.stderr):
            # What is not written yet would be written by both. None where it is closed.
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        with contextlib.ExitStack() as opened:
            files_reader, files_writer = _pipe(opened)
            results_reader, results_writer = _pipe(opened)
            # A signal between the fork and the child's own handlers would be taken for the
            # parent's.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
            try:
                with warnings.catch_warnings():
                    # Python warns of any thread; see may_fork.
                    warnings.simplefilter("ignore", DeprecationWarning)
                    self._pid = os.fork()
            except OSError:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
                raise
            opened.pop_all()
        if self._pid == 0:
            try:
                os.close(files_writer)
                os.close(results_reader)
                for other in older:
                    other.forget()
                _ignore_signals(before)
                _serve(work, limit, backoff, deadline, files_reader, results_writer)
            finally:
                # Neither the parent's ends of commands nor its buffers are ours.
                os._exit(1)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(files_reader)
        os.close(results_writer)
        self._files: IO[bytes] = os.fdopen(files_writer, "wb")
        self._results: IO[bytes] = os.fdopen(results_reader, "rb")
        self._lock = threading.Lock()

    def forget(self) -> None:
        """In another child: close what belongs to the parent, or this child never sees its end."""
        os.close(self._files.fileno())
        os.close(self._results.fileno())

    def listen(
        self,
        report: Report,
        log: Callable[[Logged], None],
        take_back: Callable[[int, str], None],
    ) -> bool:
        """Report each result as it comes, from a thread; end the process if there can be none."""
        self._report, self._log, self._take_back = report, log, take_back
        # In the caller's context, as what is taken back is processed in it.
        run, parts = copy_context().run, (self._listen,)
        self._thread = threading.Thread(
            target=run, args=parts, name="ksm-storage-results", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError:
            self.abandon()
            self._listen()
            return False
        return True

    def put(self, number: int, path: str) -> None:
        """Send a file; if the process is gone, report that."""
        with self._lock:
            is_gone = self.is_gone
            if not is_gone:
                # Before it is sent: what is noted is reported, whenever the process ends.
                self.unfinished[number] = path
        if is_gone:
            self._report(JobResult(number, path, error=_lost()))
        else:
            self._send((number, path))

    def stop(self) -> None:
        """Have the files that wait reported as not started."""
        self._send("stop")

    def close(self) -> None:
        """Wait for the files, and for the end of the process."""
        self._send("close")
        self._thread.join()
        self.abandon()

    def abandon(self) -> None:
        """End the process: it leaves when it cannot be told of more files."""
        with contextlib.suppress(OSError):
            self._files.close()

    def _send(self, message: tuple[int, str] | str) -> None:
        # A process that is gone: the thread that listens to it reports its files.
        with contextlib.suppress(OSError):
            pickle.dump(message, self._files)
            self._files.flush()

    def _listen(self) -> None:
        with self._results, contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
            while True:
                # From our own child, through a pipe that nobody else has.
                self._take(pickle.load(self._results))  # noqa: S301
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)
        with self._lock:
            self.is_gone = True
        for number, path in self.unfinished.items():
            self._report(JobResult(number, path, error=_lost()))

    def _take(self, found: JobResult | BaseException | Logged) -> None:
        if isinstance(found, Logged):
            self._log(found)
            return
        if isinstance(found, JobResult):
            self.unfinished.pop(found.number, None)
            if found.done == _ELSEWHERE:
                self._take_back(found.number, found.path)
                return
        self._report(found)


def _pipe(opened: contextlib.ExitStack) -> tuple[int, int]:
    reader, writer = os.pipe()
    opened.callback(os.close, reader)
    opened.callback(os.close, writer)
    return reader, writer


def _lost() -> StorageError:
    return StorageError(
        "the process that worked on the file ended unexpectedly",
        hint="run the same command again; if it happens again, check for a lack of memory",
    )


def _ignore_signals(before: set[int | signal.Signals]) -> None:
    # Who reads the terminal is the parent: it says when to stop. Its watch has no thread here.
    signal.set_wakeup_fd(-1)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(
    work: Work,
    limit: int,
    backoff: BackoffPolicy,
    deadline: float | None,
    files_reader: int,
    results_writer: int,
) -> None:
    """In the child: process files until the parent says that there are no more, or is gone."""
    results = os.fdopen(results_writer, "wb")
    one_at_a_time = threading.Lock()

    def send(result: JobResult | BaseException | Logged) -> None:
        content = pickled(result)
        try:
            with one_at_a_time:
                results.write(content)
                results.flush()
        except OSError:
            # The parent is gone.
            os._exit(1)

    log_by(send)
    stopped = threading.Event()

    def computed(path: str) -> FileResult:
        try:
            return work(path)
        except ServiceNeededError:
            return _ELSEWHERE

    queue = ProviderQueue(computed, send, stopped, limit, backoff, deadline)

    def finish() -> None:
        try:
            queue.close()
            results.close()
        finally:
            os._exit(0)

    # As the command does around all of its work: one limit that is lowered once.
    with no_core_dumps(), os.fdopen(files_reader, "rb") as files:
        while True:
            message = _next(files)
            if isinstance(message, tuple):
                queue.put(*message)
            elif message == "close":
                # From a thread: a parent that leaves while a file hangs is still noticed here.
                try:
                    threading.Thread(target=finish, daemon=True).start()
                except RuntimeError:
                    finish()
            else:
                stopped.set()
                queue.wake()


def _next(files: IO[bytes]) -> tuple[int, str] | str:
    """Return what the parent sent; leave when it has left."""
    try:
        message: tuple[int, str] | str = pickle.load(files)  # noqa: S301
    except (EOFError, OSError, pickle.UnpicklingError):
        # The parent left, perhaps at a second Ctrl-C: nobody wants the results. A file is
        # replaced by a rename, so that it is whole even now.
        os._exit(1)
    return message
