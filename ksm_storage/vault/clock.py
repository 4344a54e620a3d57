"""The time as the protocol counts it."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]


def now_milliseconds() -> int:
    """Return the milliseconds since 1970, the unit of every time in the database."""
    return time.time_ns() // 1_000_000
