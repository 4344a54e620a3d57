"""Lock a file on POSIX systems by the file itself.

The lock is ``flock`` on the target, so nothing is left behind, no right to write to the folder is
needed, and two containers that share one bind-mounted file exclude each other. A save replaces the
target, so whoever obtains the lock looks whether the path still names the file that was locked,
and starts over if not. Where there is no target yet, its folder is locked.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import StorageError
from .sync import close_synced

_FIRST_WAIT_SECONDS = 0.001
_LONGEST_WAIT_SECONDS = 0.05
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ETXTBSY)


@contextmanager
def locked(path: str, *, timeout_seconds: float) -> Iterator[None]:
    """Hold the lock of a file that may not exist yet.

    Args:
        path: The file, no symbolic link.
        timeout_seconds: How long to wait for another holder.

    Raises:
        StorageError: Another process holds it for too long, or the file system cannot lock.
    """
    descriptor = _locked_descriptor(path, time.monotonic() + timeout_seconds)
    try:
        yield
    finally:
        # A child forked meanwhile shares the lock; only an explicit unlock ends it for both. If
        # it fails there is nothing to undo: what was done under the lock is done.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        close_synced(descriptor)


def _locked_descriptor(path: str, deadline: float) -> int:
    while True:
        descriptor, is_folder = _opened(path)
        try:
            _flock(descriptor, path, deadline)
            if _still_names(path, descriptor, is_folder=is_folder):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


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
        hint = "make the folder first" if isinstance(exc, FileNotFoundError) else None
        raise StorageError(f"cannot open {path!r}: {exc.strerror}", hint=hint) from exc


def _flock(descriptor: int, path: str, deadline: float) -> None:
    wait = _FIRST_WAIT_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            if time.monotonic() >= deadline:
                raise StorageError(
                    f"another process holds the lock of {path!r}",
                    hint="try again; 'fuser' or 'lslocks' shows who holds it",
                ) from exc
        except OSError as exc:
            raise StorageError(
                f"the file system of {path!r} cannot lock it: {exc.strerror}",
                hint="keep the file on a local disk, or on NFS with a working lock service",
            ) from exc
        else:
            return
        # Random, so that many waiters do not wake in step.
        time.sleep(wait * (0.5 + os.urandom(1)[0] / 510))
        wait = min(2 * wait, _LONGEST_WAIT_SECONDS)


def _still_names(path: str, descriptor: int, *, is_folder: bool) -> bool:
    try:
        named, held = os.lstat(path), os.fstat(descriptor)
    except FileNotFoundError:
        return is_folder
    except OSError as exc:
        raise StorageError(f"cannot open {path!r}: {exc.strerror}") from exc
    return not is_folder and os.path.samestat(named, held)
