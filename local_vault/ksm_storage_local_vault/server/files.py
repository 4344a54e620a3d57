"""add_file, and the unsigned requests that carry the encrypted content."""

from __future__ import annotations

import hashlib
import os
import sqlite3

from ksm_storage.serving.addresses import LIFE_MILLISECONDS, UPLOAD_EXPIRED, FileAddresses
from ksm_storage.serving.admission import check_access
from ksm_storage.serving.requests import Payload, malformed, number, rejected, sealed, uid
from ksm_storage.serving.web import MAX_FILE_BYTES
from ksm_storage.wire.aes import GCM_OVERHEAD_BYTES
from ksm_storage.wire.answers import AddFileAnswer
from ksm_storage.wire.api_errors import CLIENT_UNKNOWN, OBJECT_UNKNOWN, REQUEST_MALFORMED
from ksm_storage.wire.base64_forms import to_url_safe

from ..client_row import ClientRow, find_client
from ..data_folder import DataFolder, read_private, write_private
from .writing import ALREADY_EXISTS, check_revision, editable_record, replace_data


def new_upload_ticket() -> tuple[str, bytes]:
    """Return a ticket for the device, and its hash, which is all that the server keeps."""
    ticket = to_url_safe(os.urandom(32))
    return ticket, upload_hash(ticket)


def upload_hash(ticket: str) -> bytes:
    """Return what the database knows of a ticket."""
    return hashlib.sha256(ticket.encode()).digest()


def load_address_secret(folder: DataFolder) -> bytes:
    """Return the secret of the addresses; made once, so that they outlive a restart."""
    path = folder.keys / "file-addresses"
    if not path.exists():
        write_private(path, os.urandom(32))
    return read_private(path)


def add_file(
    connection: sqlite3.Connection,
    client: ClientRow,
    payload: Payload,
    addresses: FileAddresses,
) -> AddFileAnswer:
    """Note a file of a record and answer with the address that takes its content once."""
    file_uid = uid(payload, "fileRecordUid")
    size = number(payload, "fileSize")
    if not GCM_OVERHEAD_BYTES <= size <= MAX_FILE_BYTES:
        raise malformed("fileSize is out of bounds")
    record = editable_record(connection, client, uid(payload, "ownerRecordUid"))
    check_revision(record, number(payload, "ownerRecordRevision"))
    if connection.execute("SELECT 1 FROM files WHERE file_uid = ?", (file_uid,)).fetchone():
        raise rejected(ALREADY_EXISTS)
    ticket, ticket_hash = new_upload_ticket()
    replace_data(connection, record["record_uid"], sealed(payload, "ownerRecordData"))
    connection.execute(
        "INSERT INTO files (file_uid, record_uid, link_key, owner_key, data, size, upload_hash,"
        " upload_expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            file_uid,
            record["record_uid"],
            sealed(payload, "linkKey"),
            sealed(payload, "fileRecordKey"),
            sealed(payload, "fileRecordData"),
            size,
            ticket_hash,
            addresses.clock() + LIFE_MILLISECONDS,
        ),
    )
    return addresses.upload_answer(ticket)


def store_content(connection: sqlite3.Connection, *, ticket: str, content: bytes, now: int) -> None:
    """Take the content for which the ticket was given, once and of the announced size."""
    row = connection.execute(
        "SELECT * FROM files WHERE upload_hash = ?", (upload_hash(ticket),)
    ).fetchone()
    if row is None or now >= row["upload_expires_at"]:
        raise rejected(UPLOAD_EXPIRED)
    if len(content) != row["size"]:
        raise rejected(REQUEST_MALFORMED, reason="the content is not of the announced size")
    connection.execute("INSERT INTO file_contents VALUES (?, ?)", (row["file_uid"], content))
    connection.execute(
        "UPDATE files SET upload_hash = NULL, upload_expires_at = NULL WHERE file_uid = ?",
        (row["file_uid"],),
    )


def fetch_content(
    connection: sqlite3.Connection, *, file_uid: str, client_id: str, address: str, now: int
) -> bytes:
    """Return the encrypted content to a device that may still ask, from where it may ask."""
    client = find_client(connection, client_id)
    if client is None:
        raise rejected(CLIENT_UNKNOWN)
    check_access(client, address=address, now=now)
    row = connection.execute(
        "SELECT content FROM file_contents JOIN files USING (file_uid)"
        " JOIN records USING (record_uid) WHERE file_uid = ? AND app_uid = ?",
        (file_uid, client.app_uid),
    ).fetchone()
    if row is None:
        raise rejected(OBJECT_UNKNOWN)
    content: bytes = row["content"]
    return content
