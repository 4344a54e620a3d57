"""The SQLite file: a change is on the disk before anybody hears of it."""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ksm_storage.errors import StorageError
from ksm_storage.serving.file_addresses import Clock
from ksm_storage.wire.base64_forms import new_uid

from .data_folder import DataFolder
from .schema import SCHEMA, SCHEMA_VERSION
from .server_settings import ensure_server_key

_BUSY_TIMEOUT_SECONDS = 10.0
_BUSY_POLL_SECONDS = 0.01


class Database:
    """Give read and write transactions to many threads and, with other processes, share the file.

    The server reads everything from here at each request, so that a command of the owner is
    seen by the very next one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        # Writers of this process queue here instead of polling SQLite's file lock.
        self._writer = threading.Lock()
        try:
            with self._connection() as connection:
                _prepare(connection)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Give a connection whose statements all see the same state."""
        with self._connection() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("ROLLBACK")

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Give the one writing connection; the block's end commits durably, an exception undoes.

        Raises:
            StorageError: The disk failed, or another process holds the file for too long.
        """
        with self._writer, self._connection() as connection:
            _run(connection, "BEGIN IMMEDIATE")
            try:
                yield connection
                _run(connection, "COMMIT")
            except BaseException:
                # A full disk ends the transaction by itself.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the idle connections; the last one to close folds the journal into the file."""
        with suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._idle.get_nowait()
        except queue.Empty:
            connection = _open(self._path)
        try:
            yield connection
        finally:
            self._idle.put(connection)


def _make_private(path: Path) -> None:
    # SQLite gives its journal the mode of the main file, so that one is made first. An existing
    # file is not opened, not even to look: closing it again would drop this process's locks on
    # it, and the next command to end would delete the journal that the server writes to.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _open(path: Path) -> sqlite3.Connection:
    try:
        _make_private(path)
        connection = sqlite3.connect(
            path, timeout=_BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
        )
    except (OSError, sqlite3.Error) as exc:
        raise StorageError(f"cannot open the vault's database {str(path)!r}") from exc
    try:
        _set_up(connection)
    except sqlite3.Error as exc:
        connection.close()
        raise StorageError(f"cannot open the vault's database {str(path)!r}") from exc
    return connection


def _set_up(connection: sqlite3.Connection) -> None:
    connection.row_factory = sqlite3.Row
    _use_write_ahead_log(connection)
    # NORMAL would acknowledge a commit that a power cut can still undo.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    # What is deleted is overwritten: an application key wrapped to a spent token, above all.
    connection.execute("PRAGMA secure_delete = ON")


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    # SQLite answers "locked" at once, its busy timeout notwithstanding, while another process
    # makes the same change to a new file.
    deadline = time.monotonic() + _BUSY_TIMEOUT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_BUSY_POLL_SECONDS)
        else:
            return


def _prepare(connection: sqlite3.Connection) -> None:
    _run(connection, "BEGIN IMMEDIATE")
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, SCHEMA_VERSION):
        connection.execute("ROLLBACK")
        raise StorageError(
            f"the vault's database has the unsupported version {version}",
            hint="make a new vault in another folder with --data",
        )
    if version == 0:
        # One statement at a time: executescript would commit in between.
        for statement in SCHEMA.split(";\n"):
            connection.execute(statement)
        connection.execute("INSERT INTO vault VALUES (?)", (new_uid(),))
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    _run(connection, "COMMIT")


def _run(connection: sqlite3.Connection, statement: str) -> None:
    try:
        connection.execute(statement)
    except sqlite3.Error as exc:
        raise StorageError(f"the vault's database failed at {statement.lower()!r}") from exc


def open_vault(folder: DataFolder, *, clock: Clock) -> Database:
    """Return the database; a new vault gets its tables and its first server key.

    Two processes that open a new vault at once make one vault.
    """
    folder.make()
    database = Database(folder.database)
    with database.write() as connection:
        ensure_server_key(connection, folder, now=clock())
    return database
