"""One deadline for all that a call does in a thread, the credentials' requests included."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ends_at: ContextVar[float] = ContextVar("ksm_storage_azure_kv_deadline", default=float("inf"))


@contextmanager
def deadline_of(seconds: float) -> Iterator[None]:
    """Count the seconds from here; an earlier deadline around this one stays in force."""
    token = _ends_at.set(min(_ends_at.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _ends_at.reset(token)


def seconds_left() -> float:
    """Return the seconds until the deadline: infinite without one, negative after it."""
    return _ends_at.get() - time.monotonic()
