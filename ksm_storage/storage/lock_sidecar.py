"""Lock a file by a second file beside it, where an open file cannot be replaced (Windows)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import filelock

from ..errors import StorageError


@contextmanager
def locked(path: str, *, timeout_seconds: float) -> Iterator[None]:
    """Hold the lock of a file that may not exist yet.

    Raises:
        StorageError: Another process holds it for too long, or the lock file cannot be made.
    """
    folder, name = os.path.split(path)
    if not os.path.isdir(folder):
        # filelock would make it.
        raise StorageError(
            f"cannot lock {path!r}: No such file or directory", hint="make the folder first"
        )
    lock = filelock.FileLock(os.path.join(folder, f".{name}.lock"), timeout=timeout_seconds)
    try:
        lock.acquire()
    except filelock.Timeout as exc:
        raise StorageError(f"another process holds the lock of {path!r}", hint="try again") from exc
    except OSError as exc:
        raise StorageError(f"cannot lock {path!r}: {exc.strerror}") from exc
    try:
        yield
    finally:
        lock.release()
