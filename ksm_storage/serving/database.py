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

from ..errors import StorageError

_BUSY_TIMEOUT_SECONDS = 10.0
_BUSY_POLL_SECONDS = 0.01


class Database:
    """Give read and write transactions to many threads and, with other processes, share the file.

    A server that reads everything from here at each request sees the change of a command at the
    very next one.
    """

    def __init__(self, path: Path, *, schema: str, version: int) -> None:
        """Open the file; create it, with these tables, if it does not exist.

        Raises:
            StorageError: It cannot be opened, or has tables of another version.
        """
        self._path = path
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        # Writers of this process queue here instead of polling SQLite's file lock.
        self._writer = threading.Lock()
        try:
            with self._connection() as connection:
                _prepare(connection, path, schema, version)
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
        raise StorageError(f"cannot open the database {str(path)!r}") from exc
    try:
        _set_up(connection)
    except sqlite3.Error as exc:
        connection.close()
        raise StorageError(f"cannot open the database {str(path)!r}") from exc
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


def _prepare(connection: sqlite3.Connection, path: Path, schema: str, version: int) -> None:
    _run(connection, "BEGIN IMMEDIATE")
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if found not in (0, version):
        connection.execute("ROLLBACK")
        raise StorageError(
            f"the database {str(path)!r} has the unsupported version {found}",
            hint="use another folder, in which a new one is made",
        )
    if found == 0:
        # One statement at a time: executescript would commit in between.
        for statement in schema.split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version}")
    _run(connection, "COMMIT")


def _run(connection: sqlite3.Connection, statement: str) -> None:
    try:
        connection.execute(statement)
    except sqlite3.Error as exc:
        raise StorageError(f"the database failed at {statement.lower()!r}") from exc
