"""Exclude other writers of one file, threads and processes alike."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager

# Looked up at each call: a test that waits for a holder sets a shorter time here.
LOCK_TIMEOUT_SECONDS = 30.0


def locked(path: str, *, timeout_seconds: float | None = None) -> AbstractContextManager[None]:
    """Hold the lock of a file that may not exist yet; its path is no symbolic link.

    Args:
        timeout_seconds: How long to wait for another holder; None for ``LOCK_TIMEOUT_SECONDS``.

    Raises:
        StorageError: Another process holds it for too long, or the file system cannot lock.
    """
    if timeout_seconds is None:
        timeout_seconds = LOCK_TIMEOUT_SECONDS
    # Loaded with the first lock: who only reads takes none.
    if sys.platform == "win32":
        from .lock_sidecar import locked as locked_here
    else:
        from .lock_flock import locked as locked_here
    return locked_here(path, timeout_seconds=timeout_seconds)
