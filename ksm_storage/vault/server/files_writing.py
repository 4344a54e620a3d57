"""add_file, and the plain requests that carry the encrypted content."""

from __future__ import annotations

import sqlite3

from ...wire.aes import GCM_OVERHEAD_BYTES
from ...wire.answers import AddFileAnswer
from ...wire.api_errors import CLIENT_UNKNOWN, OBJECT_UNKNOWN, REQUEST_MALFORMED, ApiError
from ..client_row import ClientRow, find_client
from .admission import check_address, check_life
from .file_addresses import LIFE_MILLISECONDS, FileAddresses, new_upload_ticket, upload_hash
from .payload import Payload, number, sealed, uid
from .records_writing import check_revision, editable_record, replace_data
from .refused import ALREADY_EXISTS, malformed, refused

MOST_FILE_BYTES = 100 * 1024 * 1024
UPLOAD_EXPIRED = ApiError(403, "access_denied", "Upload address is expired or used")
DOWNLOAD_EXPIRED = ApiError(403, "access_denied", "Download address is expired or altered")


def add_file(
    connection: sqlite3.Connection,
    client: ClientRow,
    payload: Payload,
    addresses: FileAddresses,
) -> AddFileAnswer:
    """Note a file of a record and answer with the address that takes its content once."""
    file_uid = uid(payload, "fileRecordUid")
    size = number(payload, "fileSize")
    if not GCM_OVERHEAD_BYTES <= size <= MOST_FILE_BYTES:
        raise malformed("fileSize is out of bounds")
    record = editable_record(connection, client, uid(payload, "ownerRecordUid"))
    check_revision(record, number(payload, "ownerRecordRevision"))
    if connection.execute("SELECT 1 FROM files WHERE file_uid = ?", (file_uid,)).fetchone():
        raise refused(ALREADY_EXISTS)
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
        raise refused(UPLOAD_EXPIRED)
    if len(content) != row["size"]:
        raise refused(REQUEST_MALFORMED, reason="the content is not of the announced size")
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
        raise refused(CLIENT_UNKNOWN)
    check_life(client, now=now)
    check_address(client, address)
    row = connection.execute(
        "SELECT content FROM file_contents JOIN files USING (file_uid)"
        " JOIN records USING (record_uid) WHERE file_uid = ? AND app_uid = ?",
        (file_uid, client.app_uid),
    ).fetchone()
    if row is None:
        raise refused(OBJECT_UNKNOWN)
    content: bytes = row["content"]
    return content
