"""What the relay keeps on disk: its clients and its own keys, sealed under the device's keys."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..errors import DecryptionError, SettingsError, StorageError
from ..files.new_version import make_private_folder
from ..files.replacement import Replacement
from ..serving.addresses import bracketed
from ..serving.certificates import LOCAL_NAMES, Authority
from ..serving.database import Database
from ..storage.device_key import RELAY_KEY
from ..wire.aes import GCM_IV_BYTES, KEY_BYTES
from ..wire.base64_forms import from_base64, to_base64, to_url_safe
from ..wire.json_objects import parse_object
from ..wire.keys import new_private_key, private_key_from_text, private_key_to_text, public_point_of
from .grant import Client

# Far from the ids of Keeper's servers: a client that lost the relay's key reports an unknown id
# instead of encrypting to a key of somebody else.
SERVER_KEY_ID = "100"

_LABEL = b"ksm-storage relay state v1"
_OWN = "relay"
_VERSION = 1
_MAX_PARSED = 1024
_SCHEMA = """
CREATE TABLE entries (
    name TEXT PRIMARY KEY,       -- "relay", or a client id
    content BLOB NOT NULL,       -- iv and AES-GCM, the name being the associated data
    last_used_at INTEGER
) WITHOUT ROWID
"""


def state_key(config: Mapping[str, str]) -> bytes:
    """Return the key of the state, which only a reader of the device's configuration can derive.

    With a label of its own, so that no key of the protocol serves a second purpose.
    """
    # Stored where it cannot be derived: a private key in a key service is unknown here, and a
    # rotation of the device replaces the one in the file.
    if kept := config.get(RELAY_KEY):
        return from_base64(kept)
    material = from_base64(config["appKey"]) + config.get("privateKey", "").encode()
    salt = config["clientId"].encode()
    return HKDF(SHA256(), KEY_BYTES, salt=salt, info=_LABEL).derive(material)


@dataclass(frozen=True, slots=True)
class Identity:
    """Hold what makes this relay the one that its clients know."""

    authority: Authority
    server_key: ec.EllipticCurvePrivateKey = field(repr=False)
    address_secret: bytes = field(repr=False)
    host: str
    port: int
    names: tuple[str, ...]

    @property
    def server_public_key(self) -> str:
        """The form in which a client's configuration has it."""
        return to_url_safe(public_point_of(self.server_key))

    @property
    def address(self) -> str:
        """What clients connect to: the first further name or the host, and the port."""
        host = self.names[0] if self.names else self.host
        return f"{bracketed(host)}:{self.port}"

    def configuration(self, owner_public_key: str, own: Mapping[str, str]) -> dict[str, str]:
        """Return the configuration of a client, for any SDK; ``own`` holds its secrets.

        The owner's public key is Keeper's: clients seal the keys of new records to it.
        """
        return {
            "hostname": self.address,
            "serverPublicKeyId": SERVER_KEY_ID,
            "serverPublicKey": self.server_public_key,
            "appOwnerPublicKey": owner_public_key,
            **own,
        }


class RelayState:
    """Read and change the clients; each change is on the disk before the call returns."""

    def __init__(self, folder: Path, key: bytes) -> None:
        """Open the folder; create it, private to the user, if it does not exist.

        Raises:
            StorageError: It cannot be written.
        """
        self.folder = folder
        try:
            make_private_folder(str(folder))
        except OSError as exc:
            raise StorageError(f"cannot create {str(folder)!r}: {exc.strerror}") from exc
        self._cipher = AESGCM(key)
        # The row is read at each request, so that a change is in force at the next one; it is
        # decrypted only when it did change.
        self._parsed = lru_cache(maxsize=_MAX_PARSED)(self._parse)
        self._database = Database(folder / "state.sqlite3", schema=_SCHEMA, version=_VERSION)

    @property
    def ca_file(self) -> Path:
        """The certificate that clients trust."""
        return self.folder / "ca.pem"

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def identity(
        self, *, host: str | None = None, port: int | None = None, names: Sequence[str] = ()
    ) -> Identity:
        """Return the relay's keys and address; make them at the first call.

        A port is chosen once and kept, because clients have it in their configurations. Another
        host, port or name replaces the one before.

        Raises:
            SettingsError: The certificate authority is not valid for the host or a name.
            DecryptionError: The state belongs to another configuration, or is altered.
        """
        with self._database.write() as connection:
            content = self._open(connection, _OWN)
            if content is None:
                made = _new_identity(host or "127.0.0.1", port, names)
            else:
                found = _identity_from(content)
                made = replace(
                    found,
                    host=host or found.host,
                    port=port or found.port,
                    names=tuple(names) or found.names,
                )
            outside = made.authority.name_outside([made.host, *made.names])
            if outside is not None:
                raise SettingsError(
                    f"the relay's certificate authority is not valid for {outside!r}",
                    hint="use another --state folder; clients must be added again",
                )
            if content is None or made != found:
                self._seal(connection, _OWN, _identity_to_bytes(made))
        if not self.ca_file.exists():
            self.write_public(self.ca_file, made.authority.certificate_pem)
        return made

    def write_public(self, path: Path, content: bytes) -> None:
        """Replace a file of the folder that is not secret."""
        try:
            with Replacement.of(str(path), content, mode=0o644) as new:
                new.commit()
        except OSError as exc:
            raise StorageError(f"cannot write {str(path)!r}: {exc.strerror}") from exc

    def clients(self) -> list[Client]:
        """Return every client, the oldest first."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT * FROM entries WHERE name != ?", (_OWN,)).fetchall()
        found = [self._client(row) for row in rows]
        return sorted(found, key=lambda client: (client.created_at, client.name))

    def find(self, client_id: str) -> Client | None:
        """Return the client of this id, or None."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT * FROM entries WHERE name = ? AND name != ?", (client_id, _OWN)
            ).fetchone()
        return None if row is None else self._client(row)

    def add(self, client: Client) -> None:
        """Add a client.

        Raises:
            SettingsError: A client of this name has access already.
        """
        with self._database.write() as connection:
            rows = connection.execute("SELECT * FROM entries WHERE name != ?", (_OWN,)).fetchall()
            for other in map(self._client, rows):
                if other.name == client.name and other.revoked_at is None:
                    raise SettingsError(
                        f"client {client.name!r} already exists",
                        hint="revoke it first with: "
                        f"ksm-storage relay client revoke PATH {client.name}",
                    )
            self._seal(connection, client.client_id, client.to_bytes())

    def update(self, client_id: str, change: Callable[[Client | None], Client]) -> Client:
        """Replace a client by the result of the function, in one transaction.

        An exception of the function leaves the client as it was.
        """
        with self._database.write() as connection:
            row = connection.execute(
                "SELECT * FROM entries WHERE name = ? AND name != ?", (client_id, _OWN)
            ).fetchone()
            before = None if row is None else self._client(row)
            after = change(before)
            if after != before:
                self._seal(connection, client_id, after.to_bytes())
        return after

    def revoke(self, name: str, *, now: int) -> Client:
        """End the access of the client of this name, or of the id that begins with it.

        Raises:
            SettingsError: No client matches, or several do.
        """
        matching = [
            client
            for client in self.clients()
            if client.name == name or (len(name) >= 6 and client.client_id.startswith(name))
        ]
        # A name may be used again after a revocation.
        active = [client for client in matching if client.revoked_at is None] or matching
        if len(active) != 1:
            raise SettingsError(
                f"client {name!r} not found" if not active else f"several clients match {name!r}",
                hint="list the clients with: ksm-storage relay client list PATH",
            )
        revoked = replace(active[0], revoked_at=active[0].revoked_at or now, encrypted_app_key=None)
        return self.update(revoked.client_id, lambda _: revoked)

    def note_use(self, last_used: dict[str, int]) -> None:
        """Note when clients were last used, in milliseconds by client id."""
        with self._database.write() as connection:
            connection.executemany(
                "UPDATE entries SET last_used_at = ? WHERE name = ?",
                [(when, client_id) for client_id, when in last_used.items()],
            )

    def _client(self, row: sqlite3.Row) -> Client:
        return self._parsed(row["name"], row["content"], row["last_used_at"])

    def _parse(self, name: str, sealed: bytes, last_used_at: int | None) -> Client:
        try:
            return Client.parse(self._opened(name, sealed), last_used_at=last_used_at)
        except (ValueError, KeyError, TypeError) as exc:
            raise StorageError("the relay's state is damaged") from exc

    def _open(self, connection: sqlite3.Connection, name: str) -> bytes | None:
        row = connection.execute("SELECT content FROM entries WHERE name = ?", (name,)).fetchone()
        return None if row is None else self._opened(name, row["content"])

    def _opened(self, name: str, sealed: bytes) -> bytes:
        try:
            return self._cipher.decrypt(sealed[:GCM_IV_BYTES], sealed[GCM_IV_BYTES:], name.encode())
        except InvalidTag as exc:
            raise DecryptionError(
                f"the relay's state in {str(self.folder)!r} belongs to another configuration,"
                " or is altered",
                hint="use the configuration it was made with, or another --state folder",
            ) from exc

    def _seal(self, connection: sqlite3.Connection, name: str, content: bytes) -> None:
        # One key for all entries: the nonce is fresh and random, and changes are few.
        iv = os.urandom(GCM_IV_BYTES)
        sealed = iv + self._cipher.encrypt(iv, content, name.encode())
        connection.execute(
            "INSERT INTO entries (name, content) VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET content = excluded.content",
            (name, sealed),
        )


def _new_identity(host: str, port: int | None, names: Sequence[str]) -> Identity:
    known = list(dict.fromkeys([*LOCAL_NAMES, host, *names]))
    return Identity(
        authority=Authority.new("ksm-storage relay CA", known),
        server_key=new_private_key(),
        address_secret=os.urandom(KEY_BYTES),
        host=host,
        port=port or _free_port(host),
        names=tuple(names),
    )


def _free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.closing(socket.socket(family)) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def _identity_to_bytes(identity: Identity) -> bytes:
    return json.dumps(
        {
            "ca": identity.authority.certificate_pem.decode(),
            "caKey": identity.authority.key_pem.decode(),
            "serverKey": private_key_to_text(identity.server_key),
            "addressSecret": to_base64(identity.address_secret),
            "host": identity.host,
            "port": identity.port,
            "names": identity.names,
        }
    ).encode()


def _identity_from(content: bytes) -> Identity:
    try:
        parts = parse_object(content)
        return Identity(
            authority=Authority.from_pem(parts["ca"].encode(), parts["caKey"].encode()),
            server_key=private_key_from_text(parts["serverKey"]),
            address_secret=from_base64(parts["addressSecret"]),
            host=parts["host"],
            port=parts["port"],
            names=tuple(parts["names"]),
        )
    except (ValueError, KeyError, TypeError) as exc:
        raise StorageError("the relay's state is damaged") from exc
