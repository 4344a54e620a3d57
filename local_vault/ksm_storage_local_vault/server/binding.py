"""How a one-time token becomes a device, once."""

from __future__ import annotations

import sqlite3

from ksm_storage.wire.answers import SecretsAnswer
from ksm_storage.wire.base64_forms import to_base64

from ..client_row import ClientRow


def bind(
    connection: sqlite3.Connection, client: ClientRow, point: bytes, *, address: str, now: int
) -> None:
    """Register the device's public key and lock its first address.

    The caller has admitted the device in this same write transaction, and there is only one at a
    time: that is what makes exactly one of two simultaneous devices win. The same key again
    changes nothing: the device died before it could save the first answer.
    """
    connection.execute(
        "UPDATE clients SET public_point = ?, bound_at = COALESCE(bound_at, ?),"
        " address = COALESCE(address, ?) WHERE client_id = ?",
        (point, now, address if client.address_locked else None, client.client_id),
    )


def binding_part(connection: sqlite3.Connection, client: ClientRow) -> SecretsAnswer:
    """Return the part of the answer that only a device which binds receives."""
    row = connection.execute(
        "SELECT encrypted_app_key, owner_public_point FROM clients"
        " JOIN applications USING (app_uid) WHERE client_id = ?",
        (client.client_id,),
    ).fetchone()
    return {
        "encryptedAppKey": to_base64(row["encrypted_app_key"]),
        "appOwnerPublicKey": to_base64(row["owner_public_point"]),
    }


def forget_app_key(connection: sqlite3.Connection, client: ClientRow) -> None:
    """Erase the application key that is wrapped to the token: the device has it.

    A device that asks without its public key has saved the first answer, so that neither the
    token nor a copy of this database opens anything from now on.
    """
    connection.execute(
        "UPDATE clients SET encrypted_app_key = NULL WHERE client_id = ?", (client.client_id,)
    )
