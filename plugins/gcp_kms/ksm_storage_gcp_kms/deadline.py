"""One deadline for all attempts of a call, those that obtain credentials included."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

MAX_ATTEMPTS = 4

# Each call is safe to repeat: encrypting twice makes two ciphertexts, of which one is kept.
_RETRIED = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "RESOURCE_EXHAUSTED"}


class Deadline:
    """Count down from now; one for each call."""

    def __init__(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        """Seconds left, 0 at the end."""
        return max(0.0, self._ends_at - time.monotonic())

    def within(self, seconds: float) -> Deadline:
        """Return a deadline that ends so many seconds from now, but not after this one."""
        return Deadline(min(seconds, self.remaining))

    def retry(self) -> Any:
        """Return the retry of one call.

        The client's own goes on for 60 s whatever time-out it is given, and does not know
        INTERNAL and RESOURCE_EXHAUSTED.
        """
        from google.api_core.retry import Retry

        return Retry(
            predicate=_WorthRetrying(self),
            initial=0.2,
            maximum=4.0,
            multiplier=2.0,
            timeout=self.remaining,
        )

    def bounding(self, attempt_seconds: float) -> Callable[[Callable[..., Any]], Any]:
        """Return what the client takes for a time-out: it sets that of each attempt."""

        def bounded(call: Callable[..., Any]) -> Callable[..., Any]:
            def attempt(*args: Any, **kwargs: Any) -> Any:
                # gRPC takes 0 for "already over", never for "no limit".
                kwargs["timeout"] = min(attempt_seconds, self.remaining)
                return call(*args, **kwargs)

            return attempt

        return bounded


class _WorthRetrying:
    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._attempts = 0

    def __call__(self, exc: Exception) -> bool:
        from .errors import code_of, is_untrusted_certificate, retry_delay

        self._attempts += 1
        if self._attempts >= MAX_ATTEMPTS or code_of(exc) not in _RETRIED:
            return False
        if is_untrusted_certificate(exc):
            return False
        # Where the service says how long to wait and that is too long, waiting less is no use.
        return retry_delay(exc) < self._deadline.remaining
