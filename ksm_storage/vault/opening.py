"""Open the files of a vault, and make them where there are none."""

from __future__ import annotations

from .clock import Clock
from .data_folder import DataFolder
from .database import Database
from .server_keys import ensure_server_key


def open_vault(folder: DataFolder, *, clock: Clock) -> Database:
    """Return the database; a new vault gets its tables and its first server key.

    Two processes that open a new vault at once make one vault.
    """
    folder.make()
    database = Database(folder.database)
    with database.write() as connection:
        ensure_server_key(connection, folder, now=clock())
    return database
