"""Make shared folders and the folders below them, and find them again by name."""

from __future__ import annotations

import json
import os
import sqlite3
from dataclasses import dataclass, field

from ksm_storage.errors import SettingsError
from ksm_storage.wire.aes import KEY_BYTES, cbc_open, cbc_seal, gcm_open, gcm_seal
from ksm_storage.wire.base64_forms import new_uid

from .session import OwnedApplication, OwnerSession


@dataclass(frozen=True, slots=True)
class OwnedFolder:
    """A folder with its key; ``root_key`` is the key of the shared folder that it is in."""

    folder_uid: str
    root_uid: str
    name: str
    key: bytes = field(repr=False)
    root_key: bytes = field(repr=False)
    is_editable: bool = True


def add_folder(
    session: OwnerSession,
    name: str,
    *,
    app: str,
    parent: str | None = None,
    read_only: bool = False,
) -> OwnedFolder:
    """Make a shared folder, or a folder below ``parent`` (a uid or a name)."""
    if not name.strip():
        raise SettingsError("the folder name is empty")
    with session.write() as (connection, keyring):
        application = keyring.application(app)
        above = find_folder(connection, application, parent) if parent else None
        folder = _new_folder(name, above, is_editable=not read_only)
        _insert(connection, application, folder, above)
    return folder


def find_folder(
    connection: sqlite3.Connection, application: OwnedApplication, name: str
) -> OwnedFolder:
    """Return the folder of this uid or name; raise SettingsError for none or several."""
    folders = open_folders(connection, application)
    found = [item for item in folders if item.folder_uid == name] or [
        item for item in folders if item.name == name
    ]
    if len(found) == 1:
        return found[0]
    if found:
        uids = ", ".join(item.folder_uid for item in found)
        raise SettingsError(f"several folders are named {name!r}", hint=f"use a uid: {uids}")
    raise SettingsError(
        f"folder {name!r} not found in the application",
        hint="create it with: ksm-storage vault folder add NAME --app APP",
    )


def open_folders(
    connection: sqlite3.Connection, application: OwnedApplication
) -> list[OwnedFolder]:
    """Return every folder of the application with key and name, a parent before its children."""
    roots: dict[str, bytes] = {}
    folders = []
    for row in connection.execute(
        "SELECT * FROM folders WHERE app_uid = ? ORDER BY position", (application.app_uid,)
    ):
        if row["parent_uid"] is None:
            key = roots[row["folder_uid"]] = gcm_open(application.key, row["folder_key"])
        else:
            key = cbc_open(roots[row["root_uid"]], row["folder_key"])
        folders.append(
            OwnedFolder(
                folder_uid=row["folder_uid"],
                root_uid=row["root_uid"],
                name=json.loads(cbc_open(key, row["data"]))["name"],
                key=key,
                root_key=roots[row["root_uid"]],
                is_editable=bool(row["is_editable"]),
            )
        )
    return folders


def _new_folder(name: str, above: OwnedFolder | None, *, is_editable: bool) -> OwnedFolder:
    folder_uid, key = new_uid(), os.urandom(KEY_BYTES)
    if above is None:
        return OwnedFolder(folder_uid, folder_uid, name, key, key, is_editable)
    return OwnedFolder(folder_uid, above.root_uid, name, key, above.root_key, is_editable)


def _insert(
    connection: sqlite3.Connection,
    application: OwnedApplication,
    folder: OwnedFolder,
    above: OwnedFolder | None,
) -> None:
    # A shared folder's key is under the application key; every key below it, at whatever depth,
    # is under the shared folder's key and in the other cipher mode.
    wrapped = (
        gcm_seal(application.key, folder.key)
        if above is None
        else cbc_seal(folder.root_key, folder.key)
    )
    connection.execute(
        "INSERT INTO folders (folder_uid, app_uid, root_uid, parent_uid, folder_key, data,"
        " is_editable) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            folder.folder_uid,
            application.app_uid,
            folder.root_uid,
            above.folder_uid if above else None,
            wrapped,
            cbc_seal(folder.key, json.dumps({"name": folder.name}).encode()),
            int(folder.is_editable),
        ),
    )
