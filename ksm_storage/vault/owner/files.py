"""Encrypt files and attach them to records."""

from __future__ import annotations

import json
import mimetypes
import os

from ...errors import SettingsError
from ...wire.aes import KEY_BYTES, gcm_seal
from ...wire.base64_forms import new_uid
from ...wire.ecies import ecies_seal, public_point_of
from .records import OwnedRecord, open_record
from .session import OwnerSession


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
