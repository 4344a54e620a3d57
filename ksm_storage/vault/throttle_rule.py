"""When the server asks for patience, as the owner set it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

# The service's own rule, as its client library tells it.
SERVICE_LIMIT = 100
SERVICE_WINDOW_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ThrottleRule:
    """Say which requests are refused.

    Attributes:
        refuse_next: So many requests are refused, whoever makes them.
        request_limit: So many requests per client and path pass, or None for no limit.
        window_seconds: The count starts anew after so much silence.
        retry_after_seconds: What the refusal tells the client, or None to tell nothing.
    """

    refuse_next: int = 0
    request_limit: int | None = None
    window_seconds: float = SERVICE_WINDOW_SECONDS
    retry_after_seconds: float | None = None


def read_throttle(connection: sqlite3.Connection) -> ThrottleRule:
    """Return the rule in force."""
    row = connection.execute("SELECT * FROM throttle").fetchone()
    return ThrottleRule(
        refuse_next=row["refuse_next"],
        request_limit=row["request_limit"],
        window_seconds=row["window_seconds"],
        retry_after_seconds=row["retry_after_seconds"],
    )


def write_throttle(connection: sqlite3.Connection, rule: ThrottleRule) -> None:
    """Put the rule in force with the next request."""
    connection.execute(
        "UPDATE throttle SET refuse_next = ?, request_limit = ?, window_seconds = ?,"
        " retry_after_seconds = ?",
        (rule.refuse_next, rule.request_limit, rule.window_seconds, rule.retry_after_seconds),
    )


def spend_refusal(connection: sqlite3.Connection) -> bool:
    """Take one of the requests that shall be refused; tell whether there was one left."""
    changed = connection.execute(
        "UPDATE throttle SET refuse_next = refuse_next - 1 WHERE refuse_next > 0"
    )
    return changed.rowcount == 1
