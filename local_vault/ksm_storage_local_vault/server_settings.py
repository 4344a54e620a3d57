"""What the owner sets and the server obeys: its key pairs, its throttle, its errors."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from ksm_storage.errors import StorageError
from ksm_storage.wire.base64_forms import to_url_safe
from ksm_storage.wire.keys import (
    new_private_key,
    private_key_from_text,
    private_key_to_text,
    public_point_of,
)

from .data_folder import DataFolder, read_private, write_private

# Far from the ids of the real service, so that a client which was not told the vault's key says
# "no such key" instead of wrapping its transmission key to a key of somebody else.
FIRST_KEY_NUMBER = 100


@dataclass(frozen=True, slots=True)
class ServerKey:
    """Describe the public half of a key pair of the server."""

    key_id: str
    public_point: bytes
    key_file: str

    @property
    def public_text(self) -> str:
        """The form that ``server_public_key`` of a client takes."""
        return to_url_safe(self.public_point)


def current_server_key(connection: sqlite3.Connection) -> ServerKey:
    """Return the one key that the server accepts."""
    row = connection.execute("SELECT * FROM server_keys ORDER BY number DESC LIMIT 1").fetchone()
    if row is None:
        raise StorageError("the vault has no server key")
    return ServerKey(str(row["number"]), row["public_point"], row["key_file"])


def ensure_server_key(connection: sqlite3.Connection, folder: DataFolder, *, now: int) -> None:
    """Create the first key pair if none exists."""
    if connection.execute("SELECT 1 FROM server_keys").fetchone() is None:
        _insert(connection, _new_pair(folder, FIRST_KEY_NUMBER), now=now)


def rotate_server_key(connection: sqlite3.Connection, folder: DataFolder, *, now: int) -> ServerKey:
    """Replace the key pair; clients that pinned the old one must be given the new one."""
    key = _new_pair(folder, int(current_server_key(connection).key_id) + 1)
    _insert(connection, key, now=now)
    return key


def renumber_server_key(connection: sqlite3.Connection, *, now: int) -> ServerKey:
    """Give the same key pair the next id; clients that pinned the key follow by themselves."""
    old = current_server_key(connection)
    key = ServerKey(str(int(old.key_id) + 1), old.public_point, old.key_file)
    _insert(connection, key, now=now)
    return key


def load_server_key(folder: DataFolder, key_file: str) -> ec.EllipticCurvePrivateKey:
    """Return the private half; raise StorageError when it is missing or damaged."""
    path = folder.keys / key_file
    try:
        return private_key_from_text(read_private(path).decode("ascii"))
    except ValueError as exc:
        raise StorageError(f"{str(path)!r} is not a private key") from exc


def _new_pair(folder: DataFolder, number: int) -> ServerKey:
    private_key = new_private_key()
    key = ServerKey(str(number), public_point_of(private_key), f"server-key-{number}")
    # The file is written before the row that names it is committed, never the other way round.
    write_private(folder.keys / key.key_file, private_key_to_text(private_key).encode("ascii"))
    return key


def _insert(connection: sqlite3.Connection, key: ServerKey, *, now: int) -> None:
    connection.execute(
        "INSERT INTO server_keys VALUES (?, ?, ?, ?)",
        (int(key.key_id), key.public_point, key.key_file, now),
    )


# The service's own rule, as its client library tells it.
SERVICE_WINDOW_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ThrottleRule:
    """Say which requests are throttled, and what the reply says.

    Attributes:
        throttle_next: The number of next requests that are throttled, whoever makes them.
        request_limit: The number of requests per client and path that pass, or None for no limit.
        window_seconds: The count resets after this much silence.
        retry_after_seconds: The wait that the reply names, or None to name none.
        status: 403, or 429 with a Retry-After header, as the service sends since June 2026.
    """

    throttle_next: int = 0
    request_limit: int | None = None
    window_seconds: float = SERVICE_WINDOW_SECONDS
    retry_after_seconds: float | None = None
    status: int = 403


@dataclass(frozen=True, slots=True)
class ErrorStyle:
    """Say how errors are worded.

    Attributes:
        wording: 0 for the vault's own messages; from 1 on, the service's first, second... known
            message for the same cause.
        numeric_key_id: Whether the id of the wanted server key is a JSON number.
    """

    wording: int = 0
    numeric_key_id: bool = False


def read_throttle(connection: sqlite3.Connection) -> ThrottleRule:
    """Return the rule in force."""
    row = connection.execute("SELECT * FROM behaviour").fetchone()
    return ThrottleRule(
        throttle_next=row["throttle_next"],
        request_limit=row["request_limit"],
        window_seconds=row["window_seconds"],
        retry_after_seconds=row["retry_after_seconds"],
        status=row["throttle_status"],
    )


def write_throttle(connection: sqlite3.Connection, rule: ThrottleRule) -> None:
    """Put the rule in force with the next request."""
    connection.execute(
        "UPDATE behaviour SET throttle_next = ?, request_limit = ?, window_seconds = ?,"
        " retry_after_seconds = ?, throttle_status = ?",
        (
            rule.throttle_next,
            rule.request_limit,
            rule.window_seconds,
            rule.retry_after_seconds,
            rule.status,
        ),
    )


def spend_throttled(connection: sqlite3.Connection) -> bool:
    """Take one of the next requests to be throttled; tell whether there was one left."""
    changed = connection.execute(
        "UPDATE behaviour SET throttle_next = throttle_next - 1 WHERE throttle_next > 0"
    )
    return changed.rowcount == 1


def read_error_style(connection: sqlite3.Connection) -> ErrorStyle:
    """Return how errors are worded."""
    row = connection.execute("SELECT wording, numeric_key_id FROM behaviour").fetchone()
    return ErrorStyle(row["wording"], bool(row["numeric_key_id"]))


def write_error_style(connection: sqlite3.Connection, style: ErrorStyle) -> None:
    """Word errors this way from the next request on."""
    connection.execute(
        "UPDATE behaviour SET wording = ?, numeric_key_id = ?",
        (style.wording, int(style.numeric_key_id)),
    )
