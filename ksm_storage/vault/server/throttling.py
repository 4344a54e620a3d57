"""Refuse a client that asks too often, or whoever asks when the owner told to."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from ...wire.api_errors import throttle
from ..throttle_rule import ThrottleRule
from .refused import Refused

MOST_COUNTERS = 10_000


class RequestCounters:
    """Count the requests of each client on each path; a count ends with enough silence."""

    def __init__(self) -> None:
        self._counters: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        self._lock = threading.Lock()

    def refuse_too_many(self, client_id: str, path: str, rule: ThrottleRule) -> None:
        """Count a request; refuse it when there were too many without a pause."""
        if rule.request_limit is None:
            return
        if self._count(client_id, path, rule.window_seconds) > rule.request_limit:
            raise too_many(rule)

    def _count(self, client_id: str, path: str, window_seconds: float) -> int:
        now = time.monotonic()
        with self._lock:
            count, last = self._counters.pop((client_id, path), (0, now))
            # A refused request counts too, so that asking again at once only prolongs the wait.
            count = 1 if now - last > window_seconds else count + 1
            self._counters[client_id, path] = (count, now)
            if len(self._counters) > MOST_COUNTERS:
                self._counters.popitem(last=False)
            return count


def too_many(rule: ThrottleRule) -> Refused:
    """Return the refusal that asks for patience."""
    return Refused(403, throttle(rule.retry_after_seconds), reason="throttled")
