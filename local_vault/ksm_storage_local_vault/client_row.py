"""A client device as the database has it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClientRow:
    """Hold what is known of a device; times in milliseconds, None where it never happened."""

    client_id: str
    app_uid: str
    encrypted_app_key: bytes | None
    public_point: bytes | None
    address_locked: bool
    address: str | None
    token_expires_at: int
    access_expires_at: int | None
    created_at: int
    bound_at: int | None
    revoked_at: int | None

    def state(self, *, now: int) -> str:
        """Return one word: revoked, expired, bound, or of an unused token: waiting or lapsed."""
        if self.revoked_at is not None:
            return "revoked"
        if self.access_expires_at is not None and now >= self.access_expires_at:
            return "expired"
        if self.public_point is not None:
            return "bound"
        return "waiting" if now < self.token_expires_at else "lapsed"


def find_client(connection: sqlite3.Connection, client_id: str) -> ClientRow | None:
    """Return the device of this client id, or None."""
    row = connection.execute("SELECT * FROM clients WHERE client_id = ?", (client_id,)).fetchone()
    return None if row is None else _from_row(row)


def all_clients(connection: sqlite3.Connection) -> list[ClientRow]:
    """Return every device, the oldest first."""
    rows = connection.execute("SELECT * FROM clients ORDER BY created_at, client_id")
    return [_from_row(row) for row in rows]


def _from_row(row: sqlite3.Row) -> ClientRow:
    return ClientRow(
        client_id=row["client_id"],
        app_uid=row["app_uid"],
        encrypted_app_key=row["encrypted_app_key"],
        public_point=row["public_point"],
        address_locked=bool(row["address_locked"]),
        address=row["address"],
        token_expires_at=row["token_expires_at"],
        access_expires_at=row["access_expires_at"],
        created_at=row["created_at"],
        bound_at=row["bound_at"],
        revoked_at=row["revoked_at"],
    )
