"""The database: durable, all or nothing, and usable after a failure."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ksm_storage.errors import StorageError
from ksm_storage.serving.database import Database

SCHEMA = "CREATE TABLE received (digest BLOB PRIMARY KEY) WITHOUT ROWID"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Return an empty database."""
    made = Database(tmp_path / "vault.sqlite3", schema=SCHEMA, version=1)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("secure_delete", 1)],
)
def test_a_connection_is_as_it_must_be(database: Database, pragma: str, value: object) -> None:
    with database.read() as connection:
        assert connection.execute(f"PRAGMA {pragma}").fetchone()[0] == value


def test_an_exception_undoes_the_whole_transaction(database: Database) -> None:
    with pytest.raises(sqlite3.IntegrityError), database.write() as connection:
        connection.executemany("INSERT INTO received VALUES (?)", [(b"same",), (b"same",)])

    assert _count(database) == 0


def test_a_full_disk_undoes_the_write_and_nothing_else(database: Database) -> None:
    with database.write() as connection:
        _insert(connection, b"before")
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 1}")

    with pytest.raises(sqlite3.OperationalError, match="full"), database.write() as connection:
        _insert(connection, b"x" * 100_000)

    with database.write() as connection:
        _insert(connection, b"after")
    assert _count(database) == 2


def test_a_reader_sees_one_state(database: Database) -> None:
    with database.read() as connection:
        before = _counted(connection)
        with database.write() as writer:
            _insert(writer, b"meanwhile")
        after = _counted(connection)

    assert (before, after, _count(database)) == (0, 0, 1)


def test_a_database_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vault.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 9")
    connection.close()

    with pytest.raises(StorageError, match="unsupported version 9"):
        Database(path, schema=SCHEMA, version=1)


def test_a_new_database_waits_for_another_process_that_prepares_it(tmp_path: Path) -> None:
    path = tmp_path / "vault.sqlite3"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    finished = threading.Timer(0.2, other.execute, ["ROLLBACK"])
    finished.start()

    database = Database(path, schema=SCHEMA, version=1)

    finished.join()
    database.close()
    other.close()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vault.sqlite3"
    path.write_bytes(b"no database" * 500)

    with pytest.raises(StorageError, match="cannot open the database"):
        Database(path, schema=SCHEMA, version=1)


def _insert(connection: sqlite3.Connection, digest: bytes) -> None:
    connection.execute("INSERT INTO received VALUES (?)", (digest,))


def _count(database: Database) -> int:
    with database.read() as connection:
        return _counted(connection)


def _counted(connection: sqlite3.Connection) -> int:
    count: int = connection.execute("SELECT COUNT(*) FROM received").fetchone()[0]
    return count
