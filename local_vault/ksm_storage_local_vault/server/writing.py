"""create, update and delete: records first, then folders."""

from __future__ import annotations

import json
import sqlite3

from ksm_storage.serving.requests import (
    Payload,
    malformed,
    number,
    optional_uid,
    rejected,
    sealed,
    text,
    uid,
    uids,
)
from ksm_storage.wire.answers import (
    DeleteAnswer,
    DeletedFolderAnswer,
    DeletedRecordAnswer,
    DeleteFolderAnswer,
)
from ksm_storage.wire.api_errors import (
    BAD_REQUEST,
    NOT_FOUND,
    OBJECT_UNKNOWN,
    OUT_OF_SYNC,
    READ_ONLY,
    REVISION_STALE,
    ApiError,
)

from ..client_row import ClientRow

# Errors that only this server answers; the service is not known to have them.
ALREADY_EXISTS = ApiError(409, BAD_REQUEST, "Object exists already")
_TRANSACTION_UNKNOWN = ApiError(404, NOT_FOUND, "Record has no open transaction")
_TRANSACTION_OPEN = ApiError(409, OUT_OF_SYNC, "Record has an open transaction")
_TRANSACTION_TYPES = ("general", "rotation")


def create_record(connection: sqlite3.Connection, client: ClientRow, payload: Payload) -> None:
    """Put a record that the device made into a shared folder."""
    record_uid = uid(payload, "recordUid")
    root, inner = _place(connection, client, payload)
    if connection.execute("SELECT 1 FROM records WHERE record_uid = ?", (record_uid,)).fetchone():
        raise rejected(ALREADY_EXISTS)
    connection.execute(
        "INSERT INTO records VALUES (?, ?, ?, ?, 1, 1)",
        (record_uid, client.app_uid, sealed(payload, "recordKey"), sealed(payload, "data")),
    )
    connection.execute(
        "INSERT INTO places (record_uid, folder_uid, inner_folder_uid, is_flat, record_key)"
        " VALUES (?, ?, ?, 0, ?)",
        (record_uid, root, inner, sealed(payload, "folderKey")),
    )


def update_record(connection: sqlite3.Connection, client: ClientRow, payload: Payload) -> None:
    """Replace a record's data at once, or hold the new data until the transaction ends."""
    row = editable_record(connection, client, uid(payload, "recordUid"))
    check_revision(row, number(payload, "revision"))
    data = sealed(payload, "data")
    removed = uids(payload, "links2Remove")
    if payload.get("transactionType") is None:
        replace_data(connection, row["record_uid"], data)
        _remove_files(connection, row["record_uid"], removed)
        return
    kind = text(payload, "transactionType")
    if kind not in _TRANSACTION_TYPES:
        raise malformed("transactionType is unknown")
    connection.execute(
        "INSERT INTO held_updates VALUES (?, ?, ?, ?)",
        (row["record_uid"], kind, data, json.dumps(removed)),
    )


def finalize_update(connection: sqlite3.Connection, client: ClientRow, payload: Payload) -> None:
    """Make a held update the record's data."""
    held = _take_held(connection, client, payload)
    replace_data(connection, held["record_uid"], held["data"])
    _remove_files(connection, held["record_uid"], json.loads(held["removed_files"]))


def roll_back_update(connection: sqlite3.Connection, client: ClientRow, payload: Payload) -> None:
    """Drop a held update; the record never changed."""
    _take_held(connection, client, payload)


def delete_records(
    connection: sqlite3.Connection, client: ClientRow, payload: Payload
) -> DeleteAnswer:
    """Delete each named record, and say of each what became of it."""
    answers = [_delete_record(connection, client, name) for name in uids(payload, "recordUids")]
    return {"records": answers}


def editable_record(
    connection: sqlite3.Connection, client: ClientRow, record_uid: str
) -> sqlite3.Row:
    """Return the record of this device's application that may be changed now."""
    row = _find_record(connection, client, record_uid)
    if row is None:
        raise rejected(OBJECT_UNKNOWN)
    if not row["is_editable"]:
        raise rejected(READ_ONLY)
    if connection.execute(
        "SELECT 1 FROM held_updates WHERE record_uid = ?", (record_uid,)
    ).fetchone():
        raise rejected(_TRANSACTION_OPEN)
    return row


def check_revision(row: sqlite3.Row, revision: int) -> None:
    """Refuse a change of a record that was changed since it was read."""
    if row["revision"] != revision:
        raise rejected(REVISION_STALE)


def replace_data(connection: sqlite3.Connection, record_uid: str, data: bytes) -> None:
    """Give the record new data and the next revision."""
    connection.execute(
        "UPDATE records SET data = ?, revision = revision + 1 WHERE record_uid = ?",
        (data, record_uid),
    )


def _place(
    connection: sqlite3.Connection, client: ClientRow, payload: Payload
) -> tuple[str, str | None]:
    root = editable_folder(connection, client, uid(payload, "folderUid"))
    if root["parent_uid"] is not None:
        raise malformed("folderUid is not a shared folder")
    inner = optional_uid(payload, "subFolderUid")
    if inner is not None and inner != root["folder_uid"]:
        if editable_folder(connection, client, inner)["root_uid"] != root["folder_uid"]:
            raise malformed("subFolderUid is in another shared folder")
        return root["folder_uid"], inner
    return root["folder_uid"], None


def _find_record(
    connection: sqlite3.Connection, client: ClientRow, record_uid: str
) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM records WHERE record_uid = ? AND app_uid = ?", (record_uid, client.app_uid)
    ).fetchone()
    return row


def _take_held(connection: sqlite3.Connection, client: ClientRow, payload: Payload) -> sqlite3.Row:
    # Any device of the application may end a transaction: the one that began it may be dead.
    row: sqlite3.Row | None = connection.execute(
        "SELECT held_updates.* FROM held_updates JOIN records USING (record_uid)"
        " WHERE record_uid = ? AND app_uid = ?",
        (uid(payload, "recordUid"), client.app_uid),
    ).fetchone()
    if row is None:
        raise rejected(_TRANSACTION_UNKNOWN)
    connection.execute("DELETE FROM held_updates WHERE record_uid = ?", (row["record_uid"],))
    return row


def _remove_files(connection: sqlite3.Connection, record_uid: str, file_uids: list[str]) -> None:
    connection.executemany(
        "DELETE FROM files WHERE record_uid = ? AND file_uid = ?",
        [(record_uid, file_uid) for file_uid in file_uids],
    )


def _delete_record(
    connection: sqlite3.Connection, client: ClientRow, record_uid: str
) -> DeletedRecordAnswer:
    row = _find_record(connection, client, record_uid)
    if row is None:
        return {
            "recordUid": record_uid,
            "responseCode": "not_found",
            "errorMessage": "record does not exist",
        }
    if not row["is_editable"]:
        return {
            "recordUid": record_uid,
            "responseCode": "access_denied",
            "errorMessage": "record may not be changed",
        }
    connection.execute("DELETE FROM records WHERE record_uid = ?", (record_uid,))
    return {"recordUid": record_uid, "responseCode": "ok"}


def create_folder(connection: sqlite3.Connection, client: ClientRow, payload: Payload) -> None:
    """Put a folder that the device made below a shared folder."""
    folder_uid = uid(payload, "folderUid")
    root = editable_folder(connection, client, uid(payload, "sharedFolderUid"))
    if root["parent_uid"] is not None:
        raise malformed("sharedFolderUid is not a shared folder")
    parent_uid = optional_uid(payload, "parentUid") or root["folder_uid"]
    if editable_folder(connection, client, parent_uid)["root_uid"] != root["folder_uid"]:
        raise malformed("parentUid is in another shared folder")
    if connection.execute("SELECT 1 FROM folders WHERE folder_uid = ?", (folder_uid,)).fetchone():
        raise rejected(ALREADY_EXISTS)
    connection.execute(
        "INSERT INTO folders (folder_uid, app_uid, root_uid, parent_uid, folder_key, data,"
        " is_editable) VALUES (?, ?, ?, ?, ?, ?, 1)",
        (
            folder_uid,
            client.app_uid,
            root["folder_uid"],
            parent_uid,
            sealed(payload, "sharedFolderKey"),
            sealed(payload, "data"),
        ),
    )


def update_folder(connection: sqlite3.Connection, client: ClientRow, payload: Payload) -> None:
    """Replace the encrypted name of a folder."""
    row = editable_folder(connection, client, uid(payload, "folderUid"))
    connection.execute(
        "UPDATE folders SET data = ? WHERE folder_uid = ?",
        (sealed(payload, "data"), row["folder_uid"]),
    )


def delete_folders(
    connection: sqlite3.Connection, client: ClientRow, payload: Payload
) -> DeleteFolderAnswer:
    """Delete each named folder, and say of each what became of it."""
    force = payload.get("forceDeletion") is True
    answers = [
        _delete_folder(connection, client, folder_uid, force=force)
        for folder_uid in uids(payload, "folderUids")
    ]
    return {"folders": answers}


def editable_folder(
    connection: sqlite3.Connection, client: ClientRow, folder_uid: str
) -> sqlite3.Row:
    """Return the folder of this device's application that may be changed."""
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM folders WHERE folder_uid = ? AND app_uid = ?", (folder_uid, client.app_uid)
    ).fetchone()
    if row is None:
        raise rejected(OBJECT_UNKNOWN)
    if not row["is_editable"]:
        raise rejected(READ_ONLY)
    return row


def _delete_folder(
    connection: sqlite3.Connection, client: ClientRow, folder_uid: str, *, force: bool
) -> DeletedFolderAnswer:
    row = connection.execute(
        "SELECT * FROM folders WHERE folder_uid = ? AND app_uid = ?", (folder_uid, client.app_uid)
    ).fetchone()
    # The protocol counts a folder that is not there as deleted.
    if row is None:
        return {"folderUid": folder_uid, "responseCode": "ok"}
    if row["parent_uid"] is None or not row["is_editable"]:
        return _kept(folder_uid, "access_denied", "only the owner may delete this folder")
    if not force and _has_content(connection, folder_uid):
        return _kept(folder_uid, "not_empty", "folder is not empty")
    connection.execute("DELETE FROM folders WHERE folder_uid = ?", (folder_uid,))
    # A record with a shortcut elsewhere stays.
    connection.execute(
        "DELETE FROM records WHERE app_uid = ?"
        " AND record_uid NOT IN (SELECT record_uid FROM places)",
        (client.app_uid,),
    )
    return {"folderUid": folder_uid, "responseCode": "ok"}


def _kept(folder_uid: str, code: str, message: str) -> DeletedFolderAnswer:
    return {"folderUid": folder_uid, "responseCode": code, "errorMessage": message}


def _has_content(connection: sqlite3.Connection, folder_uid: str) -> bool:
    found = connection.execute(
        "SELECT 1 FROM folders WHERE parent_uid = ?"
        " UNION ALL SELECT 1 FROM places WHERE inner_folder_uid = ?",
        (folder_uid, folder_uid),
    ).fetchone()
    return found is not None
