"""Make what was written survive a loss of power: the one seam for what differs by system."""

from __future__ import annotations

import contextlib
import os
import sys


def sync_file(descriptor: int) -> None:
    """Return once the file's content and size are on the medium."""
    if sys.platform == "darwin":
        import fcntl

        # fsync on macOS leaves the data in the drive's own cache.
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fsync(descriptor)


def sync_folder(folder: str) -> None:
    """Return once the names in the folder are on the medium; nothing to do on Windows."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def close_synced(descriptor: int) -> None:
    """Close a file of which nothing is left to be written, so that a failure means nothing."""
    with contextlib.suppress(OSError):
        os.close(descriptor)
