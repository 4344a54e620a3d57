"""Exclude other writers of one file, threads and processes alike.

On POSIX systems the lock is ``flock`` on the target, so nothing is left behind, no right to write
to the folder is needed, and two containers that share one bind-mounted file exclude each other. A
save replaces the target, so whoever obtains the lock checks whether the path still names the file
that was locked, and starts over if not. Where there is no target yet, its folder is locked. On
Windows, where an open file cannot be replaced, a second file beside it is locked.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from ..errors import StorageError

# Looked up at each call: a test that waits for a holder sets a shorter time here.
LOCK_TIMEOUT_SECONDS = 30.0

_FIRST_WAIT_SECONDS = 0.001
_MAX_WAIT_SECONDS = 0.05
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
    descriptor = _locked_descriptor(path, deadline)
    try:
        yield
    finally:
        _unlock(descriptor)
        with contextlib.suppress(OSError):
            os.close(descriptor)


@contextmanager
def locked_descriptor(descriptor: int, name: str, *, timeout_seconds: float) -> Iterator[None]:
    """Hold the lock of an open file, which the caller names in messages (POSIX).

    Raises:
        StorageError: Another process holds it for too long, or the file system cannot lock.
    """
    _wait_for_flock(descriptor, name, time.monotonic() + timeout_seconds)
    try:
        yield
    finally:
        _unlock(descriptor)


def _unlock(descriptor: int) -> None:
    import fcntl

    # A child forked meanwhile shares the lock; only an explicit unlock ends it for both. If it
    # fails there is nothing to undo: what was done under the lock is done.
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _locked_descriptor(path: str, deadline: float) -> int:
    while True:
        descriptor, is_folder = _opened(path)
        try:
            _wait_for_flock(descriptor, repr(path), deadline)
            if _still_names(path, descriptor, is_folder=is_folder):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _wait_for_flock(descriptor: int, name: str, deadline: float) -> None:
    import fcntl

    wait = _FIRST_WAIT_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            if time.monotonic() >= deadline:
                raise StorageError(
                    f"another process holds the lock of {name}",
                    hint="retry; 'fuser' or 'lslocks' shows which process holds it",
                ) from exc
        except OSError as exc:
            raise StorageError(
                f"the file system of {name} cannot lock it: {exc.strerror}",
                hint="keep the file on a local disk, or on NFS with a working lock service",
            ) from exc
        else:
            return
        # Random, so that many waiters do not wake in step.
        time.sleep(wait * (0.5 + os.urandom(1)[0] / 510))
        wait = min(2 * wait, _MAX_WAIT_SECONDS)


def _opened(path: str) -> tuple[int, bool]:
    flags = os.O_CLOEXEC | os.O_NONBLOCK
    try:
        try:
            # NFS grants an exclusive lock only on a descriptor that may write.
            return os.open(path, os.O_RDWR | flags), False
        except FileNotFoundError:
            return os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | flags), True
        except OSError as exc:
            if exc.errno not in _READ_ONLY:
                raise
            return os.open(path, os.O_RDONLY | flags), False
    except OSError as exc:
        hint = "create the folder first" if isinstance(exc, FileNotFoundError) else None
        raise StorageError(f"cannot open {path!r}: {exc.strerror}", hint=hint) from exc


def _still_names(path: str, descriptor: int, *, is_folder: bool) -> bool:
    try:
        named, held = os.lstat(path), os.fstat(descriptor)
    except FileNotFoundError:
        return is_folder
    except OSError as exc:
        raise StorageError(f"cannot open {path!r}: {exc.strerror}") from exc
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
