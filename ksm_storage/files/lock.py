"""Exclude other writers of one file, threads and processes alike, in the order in which they come.

On POSIX systems the lock is ``flock`` on the target, so nothing is left behind, no right to write
to the folder is needed, and two containers that share one bind-mounted file exclude each other. A
save replaces the target, so the new holder of the lock checks whether the path still names the file
that was locked, and starts over if not. If the target does not exist yet, its folder is locked. On
Windows, where an open file cannot be replaced, a second file beside it is locked.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from ..errors import StorageError
from .reading import Descriptors, descriptors, file_error

# Looked up at each call: a test that waits for a holder sets a shorter time here.
LOCK_TIMEOUT_SECONDS = 30.0

# After this a person would ask what the program is doing.
NOTICE_SECONDS = 2.0

_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ETXTBSY)


def locked(path: str, *, timeout_seconds: float | None = None) -> AbstractContextManager[None]:
    """Hold the lock of a file that may not exist yet; its path is not a symbolic link.

    Args:
        timeout_seconds: How long to wait for another holder; None for ``LOCK_TIMEOUT_SECONDS``.

    Raises:
        StorageError: Another process holds it for too long, or the file system cannot lock.
    """
    if timeout_seconds is None:
        timeout_seconds = LOCK_TIMEOUT_SECONDS
    if sys.platform == "win32":
        return locked_by_sidecar(path, timeout_seconds)
    return _locked(path, time.monotonic() + timeout_seconds)


@contextmanager
def _locked(path: str, deadline: float) -> Iterator[None]:
    with descriptors() as held:
        descriptor = -1
        try:
            descriptor = _locked_descriptor(held, path, deadline)
            yield
        finally:
            # If a handler raised before it was known, the close unlocks it, but for a child.
            if descriptor >= 0:
                _unlock(descriptor)


@contextmanager
def locked_descriptor(descriptor: int, name: str, *, timeout_seconds: float) -> Iterator[None]:
    """Hold the lock of an open file, which the caller names in messages (POSIX).

    Raises:
        StorageError: Another process holds it for too long, or the file system cannot lock.
    """
    try:
        _wait_for_flock(descriptor, name, time.monotonic() + timeout_seconds)
        yield
    finally:
        # Also where a signal handler raised between the lock and this block.
        _unlock(descriptor)


def _unlock(descriptor: int) -> None:
    import fcntl

    # A child forked meanwhile shares the lock; only an explicit unlock ends it for both. If it
    # fails there is nothing to undo: what was done under the lock is done.
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _locked_descriptor(held: Descriptors, path: str, deadline: float) -> int:
    while True:
        descriptor, is_folder = _opened(held, path)
        _wait_for_flock(descriptor, repr(path), deadline)
        if _still_names(path, descriptor, is_folder=is_folder):
            return descriptor
        held.close()


def _wait_for_flock(descriptor: int, name: str, deadline: float) -> None:
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _queue_for_flock(descriptor, name, deadline)
    except OSError as exc:
        raise _cannot_lock(name, exc) from exc


def _queue_for_flock(descriptor: int, name: str, deadline: float) -> None:
    # Only who blocks in the kernel has a place in its queue: whoever asks again and again is
    # overtaken for as long as others come. A blocked call has no time-out, so a thread makes it.
    queued = _Queued(descriptor)
    try:
        threading.Thread(target=queued.wait, name="ksm-storage-lock", daemon=True).start()
        if not queued.ended.wait(_remaining(min(deadline, time.monotonic() + NOTICE_SECONDS))):
            if time.monotonic() < deadline:
                _log_wait(name)
            if not queued.ended.wait(_remaining(deadline)):
                raise StorageError(
                    f"another process holds the lock of {name}",
                    hint="retry; 'fuser' or 'lslocks' shows which process holds it",
                )
    except BaseException:
        # A signal handler raised, or the time is over.
        queued.abandon(descriptor)
        raise
    if queued.failure is not None:
        raise _cannot_lock(name, queued.failure) from queued.failure


class _Queued:
    """Wait in the kernel's queue on a descriptor of its own, of the same open file.

    Attributes:
        ended: Set when the file is locked, or cannot be.
        failure: Why it cannot be.
    """

    def __init__(self, descriptor: int) -> None:
        self._held = Descriptors()
        self._descriptor = self._held.dup(descriptor)
        self._lock = threading.Lock()
        self._abandoned = False
        self.failure: OSError | None = None
        self.ended = threading.Event()

    def wait(self) -> None:
        """Return when the file is locked, or cannot be; unlock it if the caller has given up."""
        import fcntl

        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        except OSError as exc:
            self.failure = exc
        with self._lock:
            self.ended.set()
            if self._abandoned:
                _unlock(self._descriptor)
        with contextlib.suppress(OSError):
            self._held.close()

    def __del__(self) -> None:
        # The thread may never have started: a signal handler raised.
        self._held.close()

    def abandon(self, descriptor: int) -> None:
        """Unlock the file, or have the thread do it as soon as it is locked."""
        with self._lock:
            self._abandoned = True
            if self.ended.is_set():
                _unlock(descriptor)


def _remaining(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


def _log_wait(name: str) -> None:
    import logging

    # Where the application has no handler, Python prints a warning on stderr: so do commands.
    logging.getLogger("ksm_storage.lock").warning(
        "note: waiting for another process to release the lock of %s", name
    )


def _cannot_lock(name: str, exc: OSError) -> StorageError:
    return StorageError(
        f"the file system of {name} cannot lock it: {exc.strerror}",
        hint="keep the file on a local disk, or on NFS with a working lock service",
    )


def _opened(held: Descriptors, path: str) -> tuple[int, bool]:
    flags = os.O_CLOEXEC | os.O_NONBLOCK
    try:
        try:
            # NFS grants an exclusive lock only on a descriptor that may write.
            return held.open(path, os.O_RDWR | flags), False
        except FileNotFoundError:
            return held.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | flags), True
        except OSError as exc:
            if exc.errno not in _READ_ONLY:
                raise
            return held.open(path, os.O_RDONLY | flags), False
    except OSError as exc:
        raise file_error("open", path, exc) from exc


def _still_names(path: str, descriptor: int, *, is_folder: bool) -> bool:
    try:
        named, held = os.lstat(path), os.fstat(descriptor)
    except FileNotFoundError:
        return is_folder
    except OSError as exc:
        raise file_error("open", path, exc) from exc
    # The file behind it never is the link: the look would be taken again for ever.
    if stat.S_ISLNK(named.st_mode):
        raise StorageError(f"{path!r} is a symbolic link", hint="remove the link")
    return not is_folder and os.path.samestat(named, held)


@contextmanager
def locked_by_sidecar(path: str, timeout_seconds: float) -> Iterator[None]:
    """Hold the lock of a file by a second file beside it, as on Windows.

    Raises:
        StorageError: Another process holds it for too long, or the lock file cannot be made.
    """
    import filelock

    folder, name = os.path.split(path)
    if not os.path.isdir(folder):
        # filelock would make it.
        raise StorageError(
            f"cannot lock {path!r}: No such file or directory", hint="create the folder first"
        )
    lock = filelock.FileLock(os.path.join(folder, f".{name}.lock"), timeout=timeout_seconds)
    try:
        lock.acquire()
    except filelock.Timeout as exc:
        raise StorageError(f"another process holds the lock of {path!r}", hint="retry") from exc
    except OSError as exc:
        raise StorageError(f"cannot lock {path!r}: {exc.strerror}") from exc
    try:
        yield
    finally:
        lock.release()
