"""One deadline for all attempts of a call, those of the credential services included."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_ends_at: ContextVar[float | None] = ContextVar("ksm_storage_aws_kms_deadline", default=None)

_RETRY_AFTER = "x-amz-retry-after"


@contextmanager
def deadline_of(seconds: float) -> Iterator[None]:
    """Count the seconds from here; :class:`RetryLimit` reads them in this thread."""
    token = _ends_at.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _ends_at.reset(token)


class RetryLimit:
    """Veto a retry that could end after the deadline; a handler of the event ``needs-retry``.

    The AWS client bounds the number of attempts and the time of each, not the time of all.
    """

    def __init__(self, *, attempt_seconds: float) -> None:
        self._attempt_seconds = attempt_seconds

    def __call__(self, *, attempts: int, response: Any = None, **_: object) -> bool | None:
        """Return False to stop, None to leave the decision to the client."""
        ends_at = _ends_at.get()
        if ends_at is None:
            return None
        latest = time.monotonic() + _longest_pause(attempts, response) + self._attempt_seconds
        return False if latest > ends_at else None


def _longest_pause(attempts: int, response: Any) -> float:
    # Standard mode: at most 1 s, doubled with each attempt; up to 5 s more where KMS asks for it.
    # Source: AWS SDKs and Tools Reference Guide, "Retry behavior".
    pause = float(min(2 ** (attempts - 1), 20))
    if response is not None and response[0].headers.get(_RETRY_AFTER) is not None:
        pause += 5.0
    return pause
