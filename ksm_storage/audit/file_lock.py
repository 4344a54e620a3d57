"""Let the processes that append to one audit file take turns."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator

from ..errors import StorageError

# Short, because an application waits: it must not hang on whoever holds the audit file.
WAIT_SECONDS = 5.0

_PAUSE_SECONDS = 0.005

if sys.platform == "win32":

    @contextlib.contextmanager
    def file_lock(descriptor: int, path: str) -> Iterator[None]:  # noqa: ARG001  # as elsewhere
        """Hold a lock beside the file."""
        from filelock import FileLock, Timeout

        try:
            with FileLock(f"{path}.lock", timeout=WAIT_SECONDS):
                yield
        except Timeout as exc:
            raise _held(path) from exc

else:
    import fcntl

    @contextlib.contextmanager
    def file_lock(descriptor: int, path: str) -> Iterator[None]:
        """Hold the lock of an open file.

        Raises:
            StorageError: Another process holds it for too long.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as exc:
                if time.monotonic() > deadline:
                    raise _held(path) from exc
            # Random, so that many waiters do not wake in step.
            time.sleep(_PAUSE_SECONDS * (0.5 + os.urandom(1)[0] / 255))
        try:
            yield
        finally:
            # A child forked meanwhile shares the lock; only an explicit unlock ends it for both.
            fcntl.flock(descriptor, fcntl.LOCK_UN)


def _held(path: str) -> StorageError:
    return StorageError(f"another process holds the audit file {path!r}")
