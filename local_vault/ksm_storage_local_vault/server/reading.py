"""get_secret and get_folders."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from dataclasses import dataclass

from ksm_storage.wire.answers import (
    FileAnswer,
    LinkAnswer,
    RecordAnswer,
    SecretsAnswer,
    SharedFolderAnswer,
)
from ksm_storage.wire.base64_forms import to_base64

from ..client_row import ClientRow
from .files import FileAddresses
from .requests import Payload, uids


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records are asked for; nothing named means all of them."""

    records: frozenset[str]
    folders: frozenset[str]
    links: bool

    @classmethod
    def of(cls, payload: Payload) -> Selection:
        """Read the filters of a request."""
        return cls(
            records=frozenset(uids(payload, "requestedRecords")),
            folders=frozenset(uids(payload, "requestedFolders")),
            links=bool(payload.get("requestLinks")),
        )

    @property
    def whole(self) -> bool:
        """Whether nothing is filtered."""
        return not self.records and not self.folders

    def has_record(self, row: sqlite3.Row) -> bool:
        """Whether the record is named, or a folder that it is in."""
        return (
            self.whole
            or row["record_uid"] in self.records
            or row["folder_uid"] in self.folders
            or row["inner_folder_uid"] in self.folders
        )


def read_secrets(
    connection: sqlite3.Connection,
    client: ClientRow,
    selection: Selection,
    addresses: FileAddresses,
) -> SecretsAnswer:
    """Return what the application shares; every key and value in it is ciphertext."""
    files = _files_by_record(connection, client, addresses)
    links = _links_by_record(connection, client) if selection.links else {}
    by_folder: dict[str | None, list[RecordAnswer]] = defaultdict(list)
    for row in connection.execute(
        "SELECT * FROM records WHERE app_uid = ? ORDER BY position", (client.app_uid,)
    ):
        if selection.has_record(row):
            record = _record(row, files.get(row["record_uid"], []))
            if selection.links:
                record["links"] = links.get(row["record_uid"], [])
            by_folder[row["folder_uid"]].append(record)
    answer: SecretsAnswer = {
        "appData": to_base64(_app_data(connection, client)),
        "records": by_folder.pop(None, []),
        "folders": _folders(connection, client, selection, by_folder),
        "warnings": [],
    }
    if client.access_expires_at is not None:
        answer["expiresOn"] = client.access_expires_at
    return answer


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
        if selection.whole
        or row["folder_uid"] in by_folder
        or row["folder_uid"] in selection.folders
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
    return record


def _files_by_record(
    connection: sqlite3.Connection, client: ClientRow, addresses: FileAddresses
) -> dict[str, list[FileAnswer]]:
    found: dict[str, list[FileAnswer]] = defaultdict(list)
    # A file whose content never arrived is not shown: nobody could download it.
    for row in connection.execute(
        "SELECT files.* FROM files JOIN records USING (record_uid)"
        " WHERE app_uid = ? AND upload_hash IS NULL ORDER BY files.position",
        (client.app_uid,),
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


def _links_by_record(
    connection: sqlite3.Connection, client: ClientRow
) -> dict[str, list[LinkAnswer]]:
    found: dict[str, list[LinkAnswer]] = defaultdict(list)
    for row in connection.execute(
        "SELECT links.* FROM links JOIN records USING (record_uid) WHERE app_uid = ?",
        (client.app_uid,),
    ):
        found[row["record_uid"]].append(
            {"recordUid": row["linked_uid"], "data": row["data"], "path": row["path"]}
        )
    return found
