"""Whether a device may ask, and how a one-time token becomes a device, once."""

from __future__ import annotations

import hmac
import sqlite3

from ksm_storage.serving.requests import OpenedRequest, public_point, rejected
from ksm_storage.wire.answers import SecretsAnswer
from ksm_storage.wire.api_errors import (
    ACCESS_EXPIRED,
    ADDRESS_REFUSED,
    CLIENT_REVOKED,
    CLIENT_UNKNOWN,
    TOKEN_EXPIRED,
    TOKEN_REDEEMED,
)
from ksm_storage.wire.base64_forms import to_base64

from ..client_row import ClientRow


def admit(client: ClientRow | None, opened: OpenedRequest, *, address: str, now: int) -> ClientRow:
    """Return the device when it may ask; its signature is checked before anything is told of it.

    Raises:
        RequestRejected: Unknown client, invalid signature, or a state with an error of its own.
    """
    if client is None:
        raise rejected(CLIENT_UNKNOWN)
    presented = public_point(opened.payload)
    # A device that binds proves that it has the private half of the key it presents; whether
    # that is the right key is decided afterwards.
    opened.check_signature(presented or client.public_point)
    _check_state(client, address=address, now=now)
    if presented is not None:
        _check_token(client, presented, now=now)
    return client


def check_address(client: ClientRow, address: str) -> None:
    """Refuse a device that is locked to another address."""
    if client.address_locked and client.address not in (None, address):
        raise rejected(ADDRESS_REFUSED)


def check_life(client: ClientRow, *, now: int) -> None:
    """Refuse a device that was revoked or whose access is over."""
    if client.revoked_at is not None:
        raise rejected(CLIENT_REVOKED)
    if client.access_expires_at is not None and now >= client.access_expires_at:
        raise rejected(ACCESS_EXPIRED)


def _check_state(client: ClientRow, *, address: str, now: int) -> None:
    check_life(client, now=now)
    check_address(client, address)


def _check_token(client: ClientRow, presented: bytes, *, now: int) -> None:
    if client.public_point is not None:
        same = hmac.compare_digest(client.public_point, presented)
        # Without the wrapped application key the first answer is known to have arrived.
        if not same or client.encrypted_app_key is None:
            raise rejected(TOKEN_REDEEMED)
    if now >= client.token_expires_at:
        raise rejected(TOKEN_EXPIRED)


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
