"""The owner at work on a vault: its database, and the keyring that belongs to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..clock import Clock, now_milliseconds
from ..data_folder import DataFolder
from ..database import Database
from ..opening import open_vault
from .keyring import KeyringFile, OwnerKeyring, PlainKeyringFile


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
