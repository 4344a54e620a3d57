"""The client's own retries, within one deadline. Importing this imports Oracle's client."""

from __future__ import annotations

import time
from typing import Any

from oci.retry import RetryStrategyBuilder

from .client_failures import is_final

# The client's own default also repeats 409 IncorrectState, which a disabled key answers each time.
_RETRIED: dict[int, list[str]] = {-1: [], 429: []}
_LONGEST_PAUSE = 30.0
_ATTEMPTS = 8


def retries_until(ends_at: float, *, attempt_seconds: float) -> Any:
    """Return a retry strategy for one call; ``ends_at`` is on the monotonic clock."""
    strategy = RetryStrategyBuilder(
        max_attempts=_ATTEMPTS,
        total_elapsed_time_check=False,
        service_error_retry_config=_RETRIED,
        retry_max_wait_between_calls_seconds=_LONGEST_PAUSE,
    ).get_retry_strategy()
    strategy.checkers.add_checker(_RetryLimit(ends_at, attempt_seconds))
    return strategy


class _RetryLimit:
    """Veto a retry that could end after the deadline, or that would fail in the same way.

    The client's own check of the elapsed time looks neither at the pause nor at the attempt that
    follow, and it retries a certificate that is not trusted.
    """

    def __init__(self, ends_at: float, attempt_seconds: float) -> None:
        self._ends_at = ends_at
        self._attempt_seconds = attempt_seconds

    def should_retry(
        self, exception: Any = None, _response: Any = None, *, current_attempt: int = 1, **_: object
    ) -> bool:
        """Answer for one failed attempt."""
        if isinstance(exception, Exception) and is_final(exception):
            return False
        # Decorrelated jitter: 1 s, doubled with each attempt, and up to 1 s more.
        pause = min(2.0 ** (current_attempt - 1) + 1.0, _LONGEST_PAUSE)
        return time.monotonic() + pause + self._attempt_seconds <= self._ends_at
