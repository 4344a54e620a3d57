"""One server for one data folder."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import SettingsError, StorageError
from ..data_folder import DataFolder


@contextmanager
def sole_server(folder: DataFolder) -> Iterator[None]:
    """Hold the folder for one server; the lock ends with the process, however that ends.

    Two servers would each remember only the requests that they saw themselves, and the one that
    stops first would take the address of the other away.

    Raises:
        SettingsError: Another server holds it.
        StorageError: The folder cannot be written.
    """
    # SQLite's own locks: the same on every system, and gone after a kill.
    connection = _locked(folder.serving_lock, folder)
    try:
        yield
    finally:
        connection.close()


def _locked(path: Path, folder: DataFolder) -> sqlite3.Connection:
    _make_private(path)
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as exc:
        connection.close()
        if "locked" not in str(exc):
            raise StorageError(
                f"cannot lock {str(path)!r}",
                hint="look whether the disk is full, or the folder can only be read",
            ) from exc
        raise SettingsError(
            f"another server serves {str(folder.path)!r}{_where(folder)}",
            hint="stop it, or give another folder with --data",
        ) from exc
    return connection


def _make_private(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as exc:
        raise StorageError(f"cannot write {str(path)!r}: {exc.strerror}") from exc


def _where(folder: DataFolder) -> str:
    address = folder.read_address()
    return f" at {address}" if address else ""
