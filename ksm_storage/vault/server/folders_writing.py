"""get_folders, create_folder, update_folder and delete_folder."""

from __future__ import annotations

import sqlite3

from ...wire.answers import DeletedFolderAnswer, DeleteFolderAnswer, FolderAnswer, FoldersAnswer
from ...wire.api_errors import OBJECT_UNKNOWN, READ_ONLY
from ...wire.base64_forms import to_base64
from ..client_row import ClientRow
from .payload import Payload, optional_uid, sealed, uid, uids
from .refused import ALREADY_EXISTS, malformed, refused


def read_folders(connection: sqlite3.Connection, client: ClientRow) -> FoldersAnswer:
    """Return every folder of the application, a parent before its children."""
    rows = connection.execute(
        "SELECT * FROM folders WHERE app_uid = ? ORDER BY position", (client.app_uid,)
    )
    return {"folders": [_folder(row) for row in rows]}


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
        raise refused(ALREADY_EXISTS)
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
        _delete(connection, client, folder_uid, force=force)
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
        raise refused(OBJECT_UNKNOWN)
    if not row["is_editable"]:
        raise refused(READ_ONLY)
    return row


def _folder(row: sqlite3.Row) -> FolderAnswer:
    return {
        "folderUid": row["folder_uid"],
        "folderKey": to_base64(row["folder_key"]),
        "parent": row["parent_uid"],
        "data": to_base64(row["data"]),
    }


def _delete(
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
    return {"folderUid": folder_uid, "responseCode": "ok"}


def _kept(folder_uid: str, code: str, message: str) -> DeletedFolderAnswer:
    return {"folderUid": folder_uid, "responseCode": code, "errorMessage": message}


def _has_content(connection: sqlite3.Connection, folder_uid: str) -> bool:
    found = connection.execute(
        "SELECT 1 FROM folders WHERE parent_uid = ?"
        " UNION ALL SELECT 1 FROM records WHERE inner_folder_uid = ?",
        (folder_uid, folder_uid),
    ).fetchone()
    return found is not None
