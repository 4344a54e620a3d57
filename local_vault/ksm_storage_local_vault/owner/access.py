"""Make applications, give out one-time tokens, list devices and revoke them."""

from __future__ import annotations

import json
import os
import sqlite3
from dataclasses import dataclass, field

from ksm_storage.errors import SettingsError
from ksm_storage.wire.aes import KEY_BYTES, gcm_seal
from ksm_storage.wire.base64_forms import new_uid, to_url_safe
from ksm_storage.wire.keys import TOKEN_BYTES, client_id_from_token, public_point_of

from ..client_row import ClientRow, all_clients
from ..server_settings import ServerKey, current_server_key
from .session import OwnedApplication, OwnerKeyring, OwnerSession


def create_application(session: OwnerSession, name: str) -> OwnedApplication:
    """Make an application with a fresh key; the name reaches the server encrypted only."""
    if not name.strip():
        raise SettingsError("the application name is empty")
    application = OwnedApplication(new_uid(), name, os.urandom(KEY_BYTES))
    data = json.dumps({"title": name, "type": "app"}).encode()
    with session.write() as (connection, keyring):
        if any(item.name == name for item in keyring.applications.values()):
            raise SettingsError(f"application {name!r} already exists", hint="choose another name")
        keyring.applications[application.app_uid] = application
        connection.execute(
            "INSERT INTO applications VALUES (?, ?, ?, ?)",
            (
                application.app_uid,
                public_point_of(keyring.private_key),
                gcm_seal(application.key, data),
                session.clock(),
            ),
        )
    return application


_TOKEN_LIFE_SECONDS = 3600.0
_MIN_PREFIX = 6


@dataclass(frozen=True, slots=True)
class NewClient:
    """What the owner hands to a device; the token is shown once and kept nowhere."""

    client_id: str
    token: str = field(repr=False)
    address_locked: bool
    token_expires_at: int
    access_expires_at: int | None
    server_address: str | None
    server_key: ServerKey


@dataclass(frozen=True, slots=True)
class ListedClient:
    """A device with the names that only the owner knows."""

    row: ClientRow
    name: str
    app_name: str
    state: str


def add_client(
    session: OwnerSession,
    *,
    app: str,
    name: str | None = None,
    unlock_ip: bool = False,
    token_seconds: float = _TOKEN_LIFE_SECONDS,
    access_seconds: float | None = None,
) -> NewClient:
    """Make a one-time token for a device of the application.

    The server learns the token's hash, and the application key encrypted under the token.
    """
    token = _new_token()
    now = session.clock()
    access_ends = None if access_seconds is None else now + round(access_seconds * 1000)
    with session.write() as (connection, keyring):
        application = keyring.application(app)
        client = NewClient(
            client_id=client_id_from_token(token),
            token=to_url_safe(token),
            address_locked=not unlock_ip,
            token_expires_at=now + round(token_seconds * 1000),
            access_expires_at=access_ends,
            server_address=session.folder.read_address(),
            server_key=current_server_key(connection),
        )
        keyring.client_names[client.client_id] = name or f"device-{client.client_id[:6]}"
        connection.execute(
            "INSERT INTO clients (client_id, app_uid, encrypted_app_key, address_locked,"
            " token_expires_at, access_expires_at, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                client.client_id,
                application.app_uid,
                gcm_seal(token, application.key),
                int(client.address_locked),
                client.token_expires_at,
                client.access_expires_at,
                now,
            ),
        )
    return client


def list_clients(session: OwnerSession) -> list[ListedClient]:
    """Return every device, the oldest first."""
    now = session.clock()
    with session.read() as (connection, keyring):
        return [_listed(row, keyring, now) for row in all_clients(connection)]


def revoke_client(session: OwnerSession, client: str) -> ListedClient:
    """Refuse the device from its next request on; ``client`` is a name, an id or its beginning.

    Raises:
        SettingsError: No device matches, or several do.
    """
    with session.write() as (connection, keyring):
        row = _find(connection, keyring, client)
        connection.execute(
            "UPDATE clients SET revoked_at = COALESCE(revoked_at, ?), encrypted_app_key = NULL"
            " WHERE client_id = ?",
            (session.clock(), row.client_id),
        )
        rows = {item.client_id: item for item in all_clients(connection)}
        return _listed(rows[row.client_id], keyring, session.clock())


def _new_token() -> bytes:
    # A token that starts with a dash would be taken for an option by command lines.
    while to_url_safe(token := os.urandom(TOKEN_BYTES)).startswith("-"):
        pass
    return token


def _listed(row: ClientRow, keyring: OwnerKeyring, now: int) -> ListedClient:
    application = keyring.applications.get(row.app_uid)
    return ListedClient(
        row=row,
        name=keyring.client_names.get(row.client_id, "-"),
        app_name=application.name if application else row.app_uid,
        state=row.state(now=now),
    )


def _find(connection: sqlite3.Connection, keyring: OwnerKeyring, client: str) -> ClientRow:
    rows = all_clients(connection)
    found = [row for row in rows if row.client_id == client] or [
        row
        for row in rows
        if keyring.client_names.get(row.client_id) == client
        or (len(client) >= _MIN_PREFIX and row.client_id.startswith(client))
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise SettingsError(f"several devices match {client!r}", hint="use the whole client id")
    raise SettingsError(
        f"device {client!r} not found",
        hint="list the devices with: ksm-storage vault client list",
    )
