"""The owner at work: a keyring that the server never sees, and the database it belongs to."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec

from ksm_storage.errors import SettingsError, StorageError
from ksm_storage.serving.addresses import Clock, now_milliseconds
from ksm_storage.serving.database import Database
from ksm_storage.wire.base64_forms import from_base64, to_base64
from ksm_storage.wire.json_objects import parse_object
from ksm_storage.wire.keys import new_private_key, private_key_from_text, private_key_to_text

from ..data_folder import DataFolder, make_private_folder, read_private, write_private
from ..schema import open_vault
from ..server_settings import (
    ErrorStyle,
    ServerKey,
    ThrottleRule,
    read_error_style,
    read_throttle,
    renumber_server_key,
    rotate_server_key,
    write_error_style,
    write_throttle,
)

VERSION = 1


class KeyringFile(Protocol):
    """Where a keyring is kept; a sealed file can take the plain one's place."""

    def read(self) -> bytes | None:
        """Return the content, or None if it is not stored yet."""

    def write(self, content: bytes) -> None:
        """Replace the content, durably."""


@dataclass(frozen=True, slots=True)
class PlainKeyringFile:
    """Keep the keyring as plain JSON with mode 0600: good for development, for nothing else."""

    path: Path

    def read(self) -> bytes | None:
        """Return the content, or None if the file does not exist."""
        return read_private(self.path) if self.path.exists() else None

    def write(self, content: bytes) -> None:
        """Replace the file, durably."""
        make_private_folder(self.path.parent)
        write_private(self.path, content)


@dataclass(frozen=True, slots=True)
class OwnedApplication:
    """An application with its key, which opens everything that is shared with it."""

    app_uid: str
    name: str
    key: bytes = field(repr=False)


@dataclass(slots=True)
class OwnerKeyring:
    """Hold what only the owner knows of one vault."""

    vault_id: str
    private_key: ec.EllipticCurvePrivateKey = field(repr=False)
    applications: dict[str, OwnedApplication] = field(default_factory=dict)
    client_names: dict[str, str] = field(default_factory=dict)

    @classmethod
    def new(cls, vault_id: str) -> OwnerKeyring:
        """Return an empty keyring with a fresh key pair."""
        return cls(vault_id, new_private_key())

    @classmethod
    def parse(cls, content: bytes, *, vault_id: str) -> OwnerKeyring:
        """Return the keyring of this vault.

        Raises:
            SettingsError: It belongs to another vault.
            StorageError: It is not a keyring.
        """
        try:
            parts = parse_object(content)
            keyring = cls(
                parts["vaultId"],
                private_key_from_text(parts["privateKey"]),
                {uid: _application(uid, item) for uid, item in parts["applications"].items()},
                dict(parts["clients"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise StorageError(
                "the owner's file is not a keyring of a local vault, or is damaged"
            ) from exc
        if keyring.vault_id != vault_id:
            raise SettingsError(
                "the owner's file belongs to another vault",
                hint="use the --data and --owner that were created together",
            )
        return keyring

    def to_bytes(self) -> bytes:
        """Return the form that :meth:`parse` reads."""
        parts = {
            "version": VERSION,
            "vaultId": self.vault_id,
            "privateKey": private_key_to_text(self.private_key),
            "applications": {
                item.app_uid: {"name": item.name, "key": to_base64(item.key)}
                for item in self.applications.values()
            },
            "clients": self.client_names,
        }
        return json.dumps(parts, indent=2).encode()

    def application(self, name: str) -> OwnedApplication:
        """Return the application of this uid or name; raise SettingsError for none or several."""
        if name in self.applications:
            return self.applications[name]
        found = [item for item in self.applications.values() if item.name == name]
        if len(found) == 1:
            return found[0]
        if found:
            raise SettingsError(f"several applications are named {name!r}", hint="use the uid")
        raise SettingsError(
            f"application {name!r} not found",
            hint="create it with: ksm-storage vault app create NAME",
        )


def _application(app_uid: str, parts: dict[str, str]) -> OwnedApplication:
    return OwnedApplication(app_uid, parts["name"], from_base64(parts["key"]))


class OwnerSession:
    """Give transactions in which the owner's keyring and the database agree."""

    def __init__(
        self, folder: DataFolder, database: Database, file: KeyringFile, clock: Clock
    ) -> None:
        self.folder = folder
        self.clock = clock
        self._database = database
        self._file = file

    @contextmanager
    def read(self) -> Iterator[tuple[sqlite3.Connection, OwnerKeyring]]:
        """Give a consistent view."""
        with self._database.read() as connection:
            yield connection, self._load(connection)

    @contextmanager
    def write(self) -> Iterator[tuple[sqlite3.Connection, OwnerKeyring]]:
        """Give both for changing; at the end the keyring is written and then the rows committed.

        A crash between the two leaves a key that opens nothing, never rows that nothing opens.
        The database's lock keeps two commands from losing each other's keys.
        """
        with self._database.write() as connection:
            keyring = self._load(connection)
            before = keyring.to_bytes()
            yield connection, keyring
            content = keyring.to_bytes()
            if content != before or self._file.read() is None:
                self._file.write(content)

    def rotate_server_key(self) -> ServerKey:
        """Replace the server's key pair; clients that pinned the old key need the new one."""
        with self.write() as (connection, _):
            return rotate_server_key(connection, self.folder, now=self.clock())

    def renumber_server_key(self) -> ServerKey:
        """Give the server's key another id; clients follow by themselves."""
        with self.write() as (connection, _):
            return renumber_server_key(connection, now=self.clock())

    @property
    def throttle(self) -> ThrottleRule:
        """The throttle in force; a new one counts from the next request on."""
        with self.read() as (connection, _):
            return read_throttle(connection)

    @throttle.setter
    def throttle(self, rule: ThrottleRule) -> None:
        with self.write() as (connection, _):
            write_throttle(connection, rule)

    @property
    def error_style(self) -> ErrorStyle:
        """How the server words its errors; a new style counts from the next request on."""
        with self.read() as (connection, _):
            return read_error_style(connection)

    @error_style.setter
    def error_style(self, style: ErrorStyle) -> None:
        with self.write() as (connection, _):
            write_error_style(connection, style)

    def _load(self, connection: sqlite3.Connection) -> OwnerKeyring:
        vault_id: str = connection.execute("SELECT vault_id FROM vault").fetchone()[0]
        content = self._file.read()
        if content is None:
            return OwnerKeyring.new(vault_id)
        return OwnerKeyring.parse(content, vault_id=vault_id)


@contextmanager
def owner_session(
    data: Path, owner_file: Path | None = None, *, clock: Clock = now_milliseconds
) -> Iterator[OwnerSession]:
    """Open the vault in ``data`` with the owner's file, which is beside it unless named.

    Raises:
        SettingsError: The owner's file is in the data folder, or belongs to another vault.
    """
    folder = DataFolder(data)
    path = owner_file or folder.default_owner_file
    folder.refuse_inside(path)
    database = open_vault(folder, clock=clock)
    try:
        yield OwnerSession(folder, database, PlainKeyringFile(path), clock)
    finally:
        database.close()
