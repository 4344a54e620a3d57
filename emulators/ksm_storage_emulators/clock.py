"""The time as the emulated service sees it, movable by tests."""

import threading
import time
from datetime import UTC, datetime


class MovableClock:
    """Tell the time, shifted or stopped as a test wishes.

    It keeps two times, because a test moves the service into the future while its client
    library stays in the present: `now` decides deletion dates, expiry and quotas, and
    `signing_now` is what the dates inside request signatures are compared with.
    """

    def __init__(self) -> None:
        """Start at the real time, running."""
        self._lock = threading.Lock()
        self._offset_seconds = 0.0
        self._skew_seconds = 0.0
        self._frozen_at: float | None = None

    def now(self) -> float:
        """Return the service's time in seconds since the epoch."""
        with self._lock:
            real = time.time() if self._frozen_at is None else self._frozen_at
            return real + self._offset_seconds

    def now_datetime(self) -> datetime:
        """Return the service's time as an aware UTC datetime."""
        return datetime.fromtimestamp(self.now(), tz=UTC)

    def signing_now(self) -> float:
        """Return the time that request dates are checked against: real time plus the skew."""
        with self._lock:
            return time.time() + self._skew_seconds

    def advance(self, seconds: float) -> None:
        """Move `now` forward, or back with a negative number."""
        with self._lock:
            self._offset_seconds += seconds

    def freeze(self) -> None:
        """Stop `now` where it is; `advance` still moves it."""
        with self._lock:
            self._frozen_at = time.time() if self._frozen_at is None else self._frozen_at

    def set_skew(self, seconds: float) -> None:
        """Make every client's clock appear wrong by this many seconds."""
        with self._lock:
            self._skew_seconds = seconds

    def reset(self) -> None:
        """Return to the real time, running, without skew."""
        with self._lock:
            self._offset_seconds = self._skew_seconds = 0.0
            self._frozen_at = None
