"""Which function answers which path."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping

from ...wire import endpoints
from ...wire.answers import SecretsAnswer
from ..client_row import ClientRow
from .file_addresses import FileAddresses
from .files_writing import add_file
from .folders_writing import create_folder, delete_folders, read_folders, update_folder
from .payload import Payload
from .records_writing import (
    create_record,
    delete_records,
    finalize_update,
    roll_back_update,
    update_record,
)
from .secrets_reading import Selection, read_secrets

# None where the protocol's answer has no body.
Answer = Mapping[str, object] | None
PlainHandler = Callable[[sqlite3.Connection, ClientRow, Payload], Answer]
Handler = Callable[[sqlite3.Connection, ClientRow, Payload, FileAddresses], Answer]

READING_PATHS = frozenset({endpoints.GET_SECRET, endpoints.GET_FOLDERS})
WRITING_PATHS = endpoints.PATHS - READING_PATHS


def _plain(handler: PlainHandler) -> Handler:
    return lambda connection, client, payload, _: handler(connection, client, payload)


def _get_secret(
    connection: sqlite3.Connection, client: ClientRow, payload: Payload, addresses: FileAddresses
) -> SecretsAnswer:
    return read_secrets(connection, client, Selection.of(payload), addresses)


HANDLERS: Mapping[str, Handler] = {
    endpoints.GET_SECRET: _get_secret,
    endpoints.GET_FOLDERS: _plain(lambda connection, client, _: read_folders(connection, client)),
    endpoints.CREATE_SECRET: _plain(create_record),
    endpoints.UPDATE_SECRET: _plain(update_record),
    endpoints.FINALIZE_SECRET_UPDATE: _plain(finalize_update),
    endpoints.ROLLBACK_SECRET_UPDATE: _plain(roll_back_update),
    endpoints.DELETE_SECRET: _plain(delete_records),
    endpoints.CREATE_FOLDER: _plain(create_folder),
    endpoints.UPDATE_FOLDER: _plain(update_folder),
    endpoints.DELETE_FOLDER: _plain(delete_folders),
    endpoints.ADD_FILE: add_file,
}
