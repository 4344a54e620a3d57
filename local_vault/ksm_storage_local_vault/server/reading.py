"""get_secret and get_folders: records and folders of an application, whole or by uid."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from dataclasses import dataclass

from ksm_storage.serving.addresses import FileAddresses
from ksm_storage.serving.requests import Payload, uids
from ksm_storage.wire.answers import (
    FileAnswer,
    FolderAnswer,
    FoldersAnswer,
    LinkAnswer,
    RecordAnswer,
    SecretsAnswer,
    SharedFolderAnswer,
)
from ksm_storage.wire.base64_forms import to_base64

from ..client_row import ClientRow


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records are asked for; nothing named means all of them."""

    records: list[str]
    folders: list[str]
    links: bool

    @classmethod
    def of(cls, payload: Payload) -> Selection:
        """Read the filters of a request."""
        return cls(
            records=uids(payload, "requestedRecords"),
            folders=uids(payload, "requestedFolders"),
            links=bool(payload.get("requestLinks")),
        )

    @property
    def whole(self) -> bool:
        """Whether nothing is filtered."""
        return not self.records and not self.folders


def read_secrets(
    connection: sqlite3.Connection,
    client: ClientRow,
    selection: Selection,
    addresses: FileAddresses,
) -> SecretsAnswer:
    """Return what the application shares; every key and value in it is ciphertext."""
    rows = _selected_rows(connection, client, selection)
    uids_json = json.dumps([row["record_uid"] for row in rows])
    files = _files_by_record(connection, client, uids_json, addresses)
    links = _links_by_record(connection, uids_json) if selection.links else {}
    by_folder: dict[str | None, list[RecordAnswer]] = defaultdict(list)
    for row in rows:
        record = _record(row, files.get(row["record_uid"], []))
        if selection.links:
            record["links"] = links.get(row["record_uid"], [])
        by_folder[None if row["is_flat"] else row["folder_uid"]].append(record)
    needed = {row["folder_uid"] for row in rows}
    answer: SecretsAnswer = {
        "appData": to_base64(_app_data(connection, client)),
        "records": by_folder.pop(None, []),
        "folders": _folders(connection, client, selection, by_folder, needed),
        "warnings": [],
    }
    if client.access_expires_at is not None:
        answer["expiresOn"] = client.access_expires_at
    return answer


def read_folders(connection: sqlite3.Connection, client: ClientRow) -> FoldersAnswer:
    """Return every folder of the application, a parent before its children."""
    rows = connection.execute(
        "SELECT * FROM folders WHERE app_uid = ? ORDER BY position", (client.app_uid,)
    )
    return {"folders": [_folder(row) for row in rows]}


def _selected_rows(
    connection: sqlite3.Connection, client: ClientRow, selection: Selection
) -> list[sqlite3.Row]:
    everything = (
        "SELECT places.*, data, revision, is_editable FROM places JOIN records USING (record_uid)"
        " WHERE app_uid = ?"
    )
    if selection.whole:
        rows = connection.execute(f"{everything} ORDER BY position", (client.app_uid,))
        return rows.fetchall()
    records, folders = json.dumps(selection.records), json.dumps(selection.folders)
    # Each part of the union has an index; one OR over them would read every record.
    chosen = (
        " AND position IN ("
        "SELECT position FROM places WHERE record_uid IN (SELECT value FROM json_each(?))"
        " UNION SELECT position FROM places WHERE folder_uid IN (SELECT value FROM json_each(?))"
        " UNION SELECT position FROM places"
        " WHERE inner_folder_uid IN (SELECT value FROM json_each(?))"
        ") ORDER BY position"
    )
    return connection.execute(
        everything + chosen, (client.app_uid, records, folders, folders)
    ).fetchall()


def _app_data(connection: sqlite3.Connection, client: ClientRow) -> bytes:
    row = connection.execute(
        "SELECT app_data FROM applications WHERE app_uid = ?", (client.app_uid,)
    ).fetchone()
    data: bytes = row["app_data"]
    return data


def _folders(
    connection: sqlite3.Connection,
    client: ClientRow,
    selection: Selection,
    by_folder: dict[str | None, list[RecordAnswer]],
    needed: set[str | None],
) -> list[SharedFolderAnswer]:
    rows = connection.execute(
        "SELECT * FROM folders WHERE app_uid = ? AND parent_uid IS NULL ORDER BY position",
        (client.app_uid,),
    )
    return [
        {
            "folderUid": row["folder_uid"],
            "folderKey": to_base64(row["folder_key"]),
            "records": by_folder.get(row["folder_uid"], []),
        }
        for row in rows
        if selection.whole or row["folder_uid"] in needed or row["folder_uid"] in selection.folders
    ]


def _record(row: sqlite3.Row, files: list[FileAnswer]) -> RecordAnswer:
    record: RecordAnswer = {
        "recordUid": row["record_uid"],
        "recordKey": to_base64(row["record_key"]),
        "data": to_base64(row["data"]),
        "revision": row["revision"],
        "isEditable": bool(row["is_editable"]),
        "innerFolderUid": row["inner_folder_uid"],
        "files": files,
    }
    if row["folder_uid"] is not None:
        record["folderUid"] = row["folder_uid"]
    if row["is_flat"]:
        # A client finds the key's folder by this, among the folders of the same answer.
        record["innerFolderUid"] = row["folder_uid"]
    return record


def _files_by_record(
    connection: sqlite3.Connection, client: ClientRow, uids_json: str, addresses: FileAddresses
) -> dict[str, list[FileAnswer]]:
    found: dict[str, list[FileAnswer]] = defaultdict(list)
    # A file whose content never arrived is not shown: nobody could download it.
    for row in connection.execute(
        "SELECT * FROM files WHERE record_uid IN (SELECT value FROM json_each(?))"
        " AND upload_hash IS NULL ORDER BY position",
        (uids_json,),
    ):
        found[row["record_uid"]].append(
            {
                "fileUid": row["file_uid"],
                "fileKey": to_base64(row["link_key"]),
                "data": to_base64(row["data"]),
                "url": addresses.download_url(row["file_uid"], client.client_id),
                "thumbnailUrl": None,
            }
        )
    return found


def _links_by_record(connection: sqlite3.Connection, uids_json: str) -> dict[str, list[LinkAnswer]]:
    found: dict[str, list[LinkAnswer]] = defaultdict(list)
    for row in connection.execute(
        "SELECT * FROM links WHERE record_uid IN (SELECT value FROM json_each(?)) ORDER BY rowid",
        (uids_json,),
    ):
        found[row["record_uid"]].append(
            {"recordUid": row["linked_uid"], "data": row["data"], "path": row["path"]}
        )
    return found


def _folder(row: sqlite3.Row) -> FolderAnswer:
    return {
        "folderUid": row["folder_uid"],
        "folderKey": to_base64(row["folder_key"]),
        "parent": row["parent_uid"],
        "data": to_base64(row["data"]),
    }
