"""What one ``stat`` tells of whether a file changed."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

# Time stamps of a file advance in ticks (up to 10 ms on Linux, 2 s on FAT). A file written
# within the last tick may be written again without a visible change, and an inode number may be
# used again: such a signature proves nothing and is compared as changed.
_TICK_NANOSECONDS = 100_000_000


class Signature(NamedTuple):
    """Hold what a file's status said when its content was read."""

    identity: tuple[int, int, int, int, int]
    settled: bool

    def still(self, status: os.stat_result) -> bool:
        """Tell whether the file is certainly the same; False means "look again"."""
        return self.settled and self.identity == _identity(status)


# A file of which nothing is known: compared as changed.
NO_SIGNATURE = Signature((0, 0, 0, 0, 0), settled=False)


def signature_of(status: os.stat_result) -> Signature:
    """Return the signature of a file whose content is read, or was written, at this moment."""
    latest = max(status.st_mtime_ns, status.st_ctime_ns)
    return Signature(_identity(status), time.time_ns() - latest > _TICK_NANOSECONDS)


def _identity(status: os.stat_result) -> tuple[int, int, int, int, int]:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
