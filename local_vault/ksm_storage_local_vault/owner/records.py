"""Encrypt records and their files, and put them into the vault."""

from __future__ import annotations

import json
import mimetypes
import os
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ksm_storage.errors import SettingsError
from ksm_storage.wire.aes import KEY_BYTES, gcm_open, gcm_seal
from ksm_storage.wire.base64_forms import new_uid, to_base64
from ksm_storage.wire.keys import ecies_seal, public_point_of

from .folders import OwnedFolder, find_folder, open_folders
from .session import OwnedApplication, OwnerKeyring, OwnerSession

RecordJson = Mapping[str, object]
# What an import may say about a record beside the record itself.
_PLACE_PARTS = ("uid", "folder", "flat", "shortcuts", "links", "readOnly")


@dataclass(frozen=True, slots=True)
class OwnedRecord:
    """A record with its key and its contents in the clear."""

    record_uid: str
    key: bytes = field(repr=False)
    contents: dict[str, object] = field(repr=False)


def add_records(
    session: OwnerSession, records: Sequence[RecordJson], *, app: str, folder: str | None = None
) -> list[str]:
    """Encrypt the records and add all or none of them; return their uids in order.

    Each record is the JSON of the service (``title``, ``type``, ``fields``, ``custom``,
    ``notes``), and may also have ``folder`` (uid or name), ``flat`` (list it beside its shared
    folder, as Keeper's own pages do), ``shortcuts`` (more folders), ``uid``, ``readOnly`` and
    ``links``.

    Raises:
        SettingsError: A record is malformed, or names what does not exist.
    """
    with session.write() as (connection, keyring):
        application = keyring.application(app)
        return [
            _add(connection, keyring, application, _checked(record, number), folder)
            for number, record in enumerate(records, 1)
        ]


def add_shortcut(
    session: OwnerSession,
    record_uid: str,
    *,
    app: str,
    folder: str | None = None,
    flat: bool = False,
) -> None:
    """Put a record into one more folder, or share it directly; every device sees it twice.

    Raises:
        SettingsError: The record or the folder does not exist.
    """
    with session.write() as (connection, keyring):
        application = keyring.application(app)
        key = open_record(connection, application, record_uid).key
        target = find_folder(connection, application, folder) if folder else None
        _put(connection, application, record_uid, key, target, is_flat=flat)


def open_record(
    connection: sqlite3.Connection, application: OwnedApplication, record_uid: str
) -> OwnedRecord:
    """Return the record of this uid with its contents; raise SettingsError if it does not exist."""
    row = connection.execute(
        "SELECT * FROM records JOIN places USING (record_uid) WHERE record_uid = ? AND app_uid = ?"
        " ORDER BY position LIMIT 1",
        (record_uid, application.app_uid),
    ).fetchone()
    if row is None:
        raise SettingsError(
            f"record {record_uid!r} not found in the application",
            hint="use the uid that 'ksm-storage vault record add' printed",
        )
    key = gcm_open(_parent_key(connection, application, row["folder_uid"]), row["record_key"])
    return OwnedRecord(record_uid, key, json.loads(gcm_open(key, row["data"])))


def _parent_key(
    connection: sqlite3.Connection, application: OwnedApplication, folder_uid: str | None
) -> bytes:
    if folder_uid is None:
        return application.key
    folders = open_folders(connection, application)
    return next(item.key for item in folders if item.folder_uid == folder_uid)


def _checked(record: RecordJson, number: int) -> RecordJson:
    title = record.get("title") if isinstance(record, Mapping) else None
    if not isinstance(title, str) or not title:
        raise SettingsError(f"record {number} has no title")
    for name in ("fields", "custom", "links"):
        parts = record.get(name, [])
        if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
            raise SettingsError(f"{name} of record {number} must be a list of objects")
    return record


def _add(
    connection: sqlite3.Connection,
    keyring: OwnerKeyring,
    application: OwnedApplication,
    record: RecordJson,
    folder: str | None,
) -> str:
    place = record.get("folder") or folder
    target = find_folder(connection, application, str(place)) if place else None
    record_uid, key = str(record.get("uid") or new_uid()), os.urandom(KEY_BYTES)
    contents = {name: part for name, part in record.items() if name not in _PLACE_PARTS}
    contents = {"type": "login", "fields": [], "custom": [], **contents}
    try:
        connection.execute(
            "INSERT INTO records VALUES (?, ?, ?, ?, 1, ?)",
            (
                record_uid,
                application.app_uid,
                ecies_seal(public_point_of(keyring.private_key), key),
                gcm_seal(key, json.dumps(contents).encode()),
                int(_is_editable(record, target)),
            ),
        )
    except sqlite3.IntegrityError as exc:
        raise SettingsError(
            f"record {record_uid!r} already exists", hint="give it another uid, or none"
        ) from exc
    _put(connection, application, record_uid, key, target, is_flat=bool(record.get("flat")))
    shortcuts = record.get("shortcuts")
    for name in shortcuts if isinstance(shortcuts, list) else []:
        other = find_folder(connection, application, str(name))
        _put(connection, application, record_uid, key, other, is_flat=False)
    _add_links(connection, record_uid, key, record.get("links", []))
    return record_uid


def _put(
    connection: sqlite3.Connection,
    application: OwnedApplication,
    record_uid: str,
    key: bytes,
    target: OwnedFolder | None,
    *,
    is_flat: bool,
) -> None:
    inner = target.folder_uid if target and target.folder_uid != target.root_uid else None
    if is_flat and (target is None or inner is not None):
        raise SettingsError(
            "a flat record must be in a shared folder", hint="name a top-level folder"
        )
    connection.execute(
        "INSERT INTO places (record_uid, folder_uid, inner_folder_uid, is_flat, record_key)"
        " VALUES (?, ?, ?, ?, ?)",
        (
            record_uid,
            target.root_uid if target else None,
            inner,
            int(is_flat),
            gcm_seal(target.root_key if target else application.key, key),
        ),
    )


def _is_editable(record: RecordJson, target: OwnedFolder | None) -> bool:
    return not record.get("readOnly") and (target is None or target.is_editable)


def _add_links(connection: sqlite3.Connection, record_uid: str, key: bytes, links: object) -> None:
    for link in links if isinstance(links, list) else []:
        path = link.get("path")
        connection.execute(
            "INSERT INTO links VALUES (?, ?, ?, ?)",
            (record_uid, link.get("recordUid") or record_uid, path, _link_data(key, link)),
        )


def _link_data(key: bytes, link: Mapping[str, object]) -> str | None:
    if link.get("data") is None:
        return None
    data = json.dumps(link["data"]).encode()
    # The protocol leaves "meta" and credential links readable; settings are under the record key.
    encrypted = link.get("path") in ("ai_settings", "jit_settings")
    return to_base64(gcm_seal(key, data) if encrypted else data)


def add_file(
    session: OwnerSession,
    content: bytes,
    *,
    app: str,
    record_uid: str,
    name: str,
    title: str | None = None,
) -> str:
    """Encrypt the content under a fresh key, attach it to the record and return its uid."""
    file_uid, key = new_uid(), os.urandom(KEY_BYTES)
    # One key, two messages: each has its own random nonce.
    sealed = gcm_seal(key, content)
    data = gcm_seal(key, _description(content, name, title or name, session.clock()))
    with session.write() as (connection, keyring):
        record = open_record(connection, keyring.application(app), record_uid)
        contents = json.dumps(_with_reference(record, file_uid)).encode()
        connection.execute(
            "INSERT INTO files (file_uid, record_uid, link_key, owner_key, data, size)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (
                file_uid,
                record_uid,
                gcm_seal(record.key, key),
                ecies_seal(public_point_of(keyring.private_key), key),
                data,
                len(sealed),
            ),
        )
        connection.execute("INSERT INTO file_contents VALUES (?, ?)", (file_uid, sealed))
        connection.execute(
            "UPDATE records SET data = ?, revision = revision + 1 WHERE record_uid = ?",
            (gcm_seal(record.key, contents), record_uid),
        )
    return file_uid


def _description(content: bytes, name: str, title: str, now: int) -> bytes:
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    parts = {"name": name, "title": title, "size": len(content), "lastModified": now, "type": kind}
    return json.dumps(parts).encode()


def _with_reference(record: OwnedRecord, file_uid: str) -> dict[str, object]:
    contents = dict(record.contents)
    fields = contents.get("fields")
    if not isinstance(fields, list):
        raise SettingsError(f"record {record.record_uid!r} has no fields")
    reference = next((item for item in fields if item.get("type") == "fileRef"), None)
    if reference is None:
        contents["fields"] = [*fields, {"type": "fileRef", "value": [file_uid]}]
    else:
        reference["value"] = [*reference.get("value", []), file_uid]
    return contents
