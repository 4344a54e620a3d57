"""The files of a local key: processed in forked processes, one for each core.

Opening a file under a local key is computation, and the interpreter's lock lets one thread of a
process compute at a time. A child holds a :class:`ProviderQueue`, so that what is true of a
thread's files (how many at once, the pauses, the deadline) is true of a child's files.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import pickle
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from typing import IO, NamedTuple

from .. import errors
from ..errors import KsmStorageError, StorageError
from ..process import no_core_dumps
from .provider_queue import BackoffPolicy, JobResult, ProviderQueue, Report, Work

# Threads that hold no lock while another one forks: the command's watch over clock and stderr.
_HARMLESS = ("MainThread", "ksm-storage-watch", "ksm-storage-stderr")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LOGGER = "ksm_storage"
_MAX_REMEMBERED = 1024


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
        warn_once = _Warnings().warn_once
        self._children = [child for child in children if child.listen(report, warn_once)]
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

    def abandon(self) -> None:
        """End the processes without waiting for their files, each of which stays whole."""
        for child in self._children:
            child.abandon()

    def wake(self) -> None:
        """Let the processes notice that the batch was stopped."""
        if self._stopped.is_set() and not self._told:
            self._told = True
            for child in self._children:
                child.stop()


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

    def listen(self, report: Report, warn: Callable[[_Warning], None]) -> bool:
        """Report each result as it comes, from a thread; end the process if there can be none."""
        self._report, self._warn = report, warn
        self._thread = threading.Thread(
            target=self._listen, name="ksm-storage-results", daemon=True
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

    def _take(self, found: JobResult | BaseException | _Warning) -> None:
        if isinstance(found, _Warning):
            self._warn(found)
            return
        if isinstance(found, JobResult):
            self.unfinished.pop(found.number, None)
        self._report(found)


def _pipe(opened: contextlib.ExitStack) -> tuple[int, int]:
    reader, writer = os.pipe()
    opened.callback(os.close, reader)
    opened.callback(os.close, writer)
    return reader, writer


class _Warning(NamedTuple):
    """What a child logs: the logger's name, the level and the text."""

    name: str
    level: int
    text: str


class _Warnings:
    """Log what the children log; what each of them says for itself is said once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._said: set[_Warning] = set()

    def warn_once(self, warning: _Warning) -> None:
        with self._lock:
            if warning in self._said:
                return
            if len(self._said) < _MAX_REMEMBERED:
                self._said.add(warning)
        logging.getLogger(warning.name).log(warning.level, "%s", warning.text)


class _ToParent(logging.Handler):
    """Send each record of our loggers to the parent, which has the application's handlers."""

    def __init__(self, send: Callable[[_Warning], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send(_Warning(record.name, record.levelno, record.getMessage()))


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

    def send(result: JobResult | BaseException | _Warning) -> None:
        content = _pickled(result)
        try:
            with one_at_a_time:
                results.write(content)
                results.flush()
        except OSError:
            # The parent is gone.
            os._exit(1)

    _log_by(_ToParent(send))
    stopped = threading.Event()
    queue = ProviderQueue(work, send, stopped, limit, backoff, deadline)
    # As the command does around all of its work: one limit that is lowered once.
    with no_core_dumps(), os.fdopen(files_reader, "rb") as files:
        while (message := _next(files)) != "close":
            if isinstance(message, tuple):
                queue.put(*message)
            else:
                stopped.set()
                queue.wake()
        queue.close()
    results.close()
    os._exit(0)


def _log_by(handler: logging.Handler) -> None:
    """Have all records of our loggers taken by one handler, in place of the application's."""
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith(f"{_LOGGER}.") and isinstance(logger, logging.Logger):
            # Theirs are called in the parent, which may write the same file.
            logger.handlers, logger.propagate = [], True
    ours = logging.getLogger(_LOGGER)
    ours.handlers, ours.propagate = [handler], False


def _next(files: IO[bytes]) -> tuple[int, str] | str:
    try:
        message: tuple[int, str] | str = pickle.load(files)  # noqa: S301
    except (EOFError, OSError, pickle.UnpicklingError):
        # The parent left, perhaps at a second Ctrl-C: nobody wants the results. A file is
        # replaced by a rename, so that it is whole even now.
        os._exit(1)
    return message


def _pickled(result: JobResult | BaseException | _Warning) -> bytes:
    """Return a result for the parent; of an exception all but its traceback and its cause."""
    try:
        content = pickle.dumps(result)
        if isinstance(result, BaseException) or getattr(result, "error", None) is not None:
            # An exception whose class takes other arguments can be written and not read.
            pickle.loads(content)  # noqa: S301
    # A class that exists only here, or an attribute of it: pickle raises what it likes.
    except Exception as exc:  # noqa: BLE001
        if isinstance(result, JobResult) and result.error is not None:
            return pickle.dumps(JobResult(result.number, result.path, error=_public(result.error)))
        kind = type(result if isinstance(result, BaseException) else exc).__name__
        return pickle.dumps(RuntimeError(f"a result cannot be sent ({kind})"))
    return content


def _public(error: KsmStorageError) -> KsmStorageError:
    """Return an error of the nearest documented class, with the same text and details."""
    kind = type(error)
    while kind.__module__ != errors.__name__:
        kind = next(each for each in kind.__bases__ if issubclass(each, KsmStorageError))
    public = kind(error.message, hint=error.hint)
    public.path = error.path
    public.provider, public.key = error.provider, error.key
    public.operation, public.permission = error.operation, error.permission
    public.request_id = error.request_id
    public.causes = tuple(_public(cause) for cause in error.causes)
    return public
