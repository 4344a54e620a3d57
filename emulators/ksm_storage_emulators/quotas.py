"""Request quotas: how many calls a second the service admits."""

import threading
from collections import deque

from ksm_storage_emulators.clock import MovableClock


class Quotas:
    """Admit calls up to a number per second, per operation and for all together.

    The window slides over the service's clock, so a test refills a quota with
    `clock.advance(1)` instead of sleeping.
    """

    def __init__(self, clock: MovableClock) -> None:
        """Start without any limit."""
        self._clock = clock
        self._lock = threading.Lock()
        self._limits: dict[str | None, int] = {}
        self._admitted: dict[str | None, deque[float]] = {}

    def limit(self, per_second: int, *, operation: str | None = None) -> None:
        """Admit this many calls a second of one operation, or of all together with None."""
        if per_second < 0:
            raise ValueError("per_second must not be negative")
        with self._lock:
            self._limits[operation] = per_second
            self._admitted[operation] = deque()

    def clear(self) -> None:
        """Lift every limit."""
        with self._lock:
            self._limits.clear()
            self._admitted.clear()

    def limits(self) -> dict[str | None, int]:
        """Return the limits in force; None is the key of the limit on all operations."""
        with self._lock:
            return dict(self._limits)

    def admit(self, operation: str) -> bool:
        """Say whether the call fits, and count it if it does. A refused call costs nothing."""
        with self._lock:
            windows = [key for key in (None, operation) if key in self._limits]
            now = self._clock.now()
            for key in windows:
                self._forget_before(key, now - 1.0)
            if any(len(self._admitted[key]) >= self._limits[key] for key in windows):
                return False
            for key in windows:
                self._admitted[key].append(now)
            return True

    def _forget_before(self, key: str | None, start: float) -> None:
        window = self._admitted[key]
        while window and window[0] <= start:
            window.popleft()
