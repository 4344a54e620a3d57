"""Requests that were received before.

The signed bytes hold neither time nor counter, so the wrapped transmission key, which a client
makes afresh for every attempt, is what makes a request unique.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import OrderedDict

from .refused import REPLAYED, refused

WINDOW_SECONDS = 3600.0
MOST_REMEMBERED = 100_000


class ReplayWindow:
    """Remember the digests of the last requests, in memory and within bounds."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()

    def refuse_repeated(self, digest: bytes) -> None:
        """Note the digest; refuse it when it was noted before."""
        now = time.monotonic()
        with self._lock:
            self._forget(now)
            if digest in self._seen:
                raise refused(REPLAYED)
            self._seen[digest] = now

    def _forget(self, now: float) -> None:
        while self._seen:
            oldest = next(iter(self._seen.values()))
            if now - oldest < WINDOW_SECONDS and len(self._seen) < MOST_REMEMBERED:
                return
            self._seen.popitem(last=False)


def note_write(connection: sqlite3.Connection, digest: bytes) -> None:
    """Note a write for ever, in the transaction that it makes; refuse one that was noted.

    A read that is repeated after a restart shows nobody anything: its answer is encrypted under
    a key that only the first sender has. A write could undo a later one.
    """
    changed = connection.execute("INSERT OR IGNORE INTO received VALUES (?)", (digest,))
    if changed.rowcount == 0:
        raise refused(REPLAYED)
