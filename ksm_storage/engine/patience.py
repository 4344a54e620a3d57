"""How long to wait when the server asks for fewer requests."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# The service counts over 10 seconds and forgets after 10 seconds of silence.
_FIRST_WAIT_SECONDS = 11.0
_JITTER = 0.25
# Some decades, with the jitter still within what every system can sleep.
_LONGEST_SLEEP_SECONDS = 1e9


@dataclass(frozen=True, slots=True)
class Patience:
    """Say how often and how long to wait before giving up.

    Attributes:
        retries: How often a throttled request is repeated; 0 to give up at once.
        longest_wait_seconds: A longer wait is not begun.
        sleep: Waits; tests give their own.
        uniform: Draws the jitter; tests give their own.
    """

    retries: int = 5
    longest_wait_seconds: float = 240.0
    sleep: Callable[[float], None] = time.sleep
    uniform: Callable[[float, float], float] = random.uniform

    def wait_seconds(self, attempt: int, *, asked: float) -> float | None:
        """Return how long to wait before repetition ``attempt`` (from 0), None to give up.

        What the server asked for is the least; without a wish the waits double. The jitter
        keeps many clients from coming back at the same moment.
        """
        if attempt >= self.retries:
            return None
        wait = asked if asked > 0 else _FIRST_WAIT_SECONDS * 2**attempt
        # Never earlier than asked: that would count as one more request too many.
        jittered = wait * (1 + self.uniform(0 if asked > 0 else -_JITTER, _JITTER))
        return None if wait > min(self.longest_wait_seconds, _LONGEST_SLEEP_SECONDS) else jittered


def asked_seconds(answer: Mapping[str, Any], header: str | None) -> float:
    """Return the larger of ``retry_after`` and the Retry-After header in seconds, or 0."""
    return max(_seconds(answer.get("retry_after")), _seconds(header))


def _seconds(value: object) -> float:
    # A date is a permitted form of the header; the service sends seconds.
    if not isinstance(value, (int, float, str)):
        return 0.0
    try:
        seconds = float(value)
    # OverflowError: JSON has integers beyond what a float holds.
    except (ValueError, OverflowError):
        return 0.0
    return seconds if 0 < seconds < float("inf") else 0.0
