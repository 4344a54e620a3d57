"""What was asked of the emulator and how it answered, kept for tests."""

import threading
from collections import Counter, deque
from dataclasses import dataclass, field

from ksm_storage_emulators.message import Headers

# Counters never lose a call; only the bodies of very old ones are let go.
KEPT_EXCHANGES = 10_000


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what came of it. `status` is None when no reply was sent.

    `headers` and `body` are the request as it came, secrets included.
    """

    operation: str
    method: str
    target: str
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)
    status: int | None
    reply_body: bytes = field(repr=False)


class Transcript:
    """The exchanges since the start or the last reset, oldest first; safe across threads."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._exchanges: deque[Exchange] = deque(maxlen=KEPT_EXCHANGES)
        self._calls: Counter[str] = Counter()

    def record(self, exchange: Exchange) -> None:
        """Keep an exchange and count its operation."""
        with self._lock:
            self._exchanges.append(exchange)
            self._calls[exchange.operation] += 1

    def exchanges(self) -> list[Exchange]:
        """Return the exchanges, oldest first."""
        with self._lock:
            return list(self._exchanges)

    def calls(self) -> dict[str, int]:
        """Return how often each operation was asked for, whatever the outcome."""
        with self._lock:
            return dict(self._calls)

    def count(self, operation: str) -> int:
        """Return how often one operation was asked for."""
        return self.calls().get(operation, 0)

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self._exchanges.clear()
            self._calls.clear()
