"""Create, save and delete records, and attach files to them."""

from __future__ import annotations

import copy
import json
import os
import time
from typing import Any, Protocol

from ..errors import SettingsError
from ..wire import endpoints
from ..wire.aes import KEY_BYTES, gcm_seal
from ..wire.base64_forms import new_uid, to_base64, to_url_safe
from ..wire.ecies import ecies_seal
from ..wire.requests import (
    AddFileRequest,
    CompleteTransactionRequest,
    CreateRequest,
    DeleteRequest,
    UpdateRequest,
)
from .answer_json import list_of_objects, parse_object
from .errors import ServerAnswerError
from .file_upload import KeeperFileUpload, multipart_form
from .options import CreateOptions, UpdateOptions
from .record import Record
from .session import Session


class RecordContent(Protocol):
    """What a new record is made from: ours, or the official package's."""

    def to_json(self) -> str:
        """Return the content as JSON."""


def create_record(
    session: Session, options: CreateOptions, content: RecordContent, *, folder_key: bytes
) -> str:
    """Create a record in a shared folder and return its uid."""
    owner = session.device.owner_public_key()
    data = content.to_json().encode()
    # A record key belongs to one record; it goes to the owner and, under its key, to the folder.
    record_key = os.urandom(KEY_BYTES)
    request: CreateRequest = {
        **session.client_part(),
        "recordUid": new_uid(),
        "recordKey": to_base64(ecies_seal(owner, record_key)),
        "folderUid": options.folder_uid,
        "folderKey": to_base64(gcm_seal(folder_key, record_key)),
        "data": to_base64(gcm_seal(record_key, data)),
        "subFolderUid": options.subfolder_uid,
    }
    session.ask(endpoints.CREATE_SECRET, request)
    return request["recordUid"]


def update_record(session: Session, record: Record, options: UpdateOptions | None) -> None:
    """Save the record's content as it is now; files to detach leave its references too."""
    given = options or UpdateOptions()
    removed = given.links_to_remove or []
    uids = [removed] if isinstance(removed, str) else list(removed)
    content = _without_files(record.dict, uids) if uids else record.dict
    request: UpdateRequest = {
        **session.client_part(),
        "recordUid": record.uid,
        "revision": record.revision,
        "data": to_base64(gcm_seal(record.record_key_bytes, json.dumps(content).encode())),
        "transactionType": given.transaction_type,
        "links2Remove": uids or None,
    }
    session.ask(endpoints.UPDATE_SECRET, request)
    # What the caller holds changes only once the server has it.
    if uids:
        record.raw_json = json.dumps(content)


def complete_transaction(session: Session, record_uid: str, *, path: str) -> None:
    """End a transaction by the given path: finalize or roll back."""
    request: CompleteTransactionRequest = {**session.client_part(), "recordUid": record_uid}
    session.ask(path, request)


def delete_records(session: Session, record_uids: list[str]) -> list[dict[str, Any]]:
    """Delete records and return what the server says of each."""
    request: DeleteRequest = {**session.client_part(), "recordUids": record_uids}
    return list_of_objects(
        parse_object(session.ask(endpoints.DELETE_SECRET, request)).get("records")
    )


def attach_file(session: Session, record: Record, file: KeeperFileUpload) -> str:
    """Upload a file, refer to it in its record and return the file's uid."""
    if file.Data is None or not file.Name:
        raise SettingsError("a file to upload needs a name and its data")
    owner = session.device.owner_public_key()
    file_uid, file_key = new_uid(), os.urandom(KEY_BYTES)
    content = _with_file(record.dict, file_uid)
    sealed = gcm_seal(file_key, file.Data)
    record_key = record.record_key_bytes
    request: AddFileRequest = {
        **session.client_part(),
        "fileRecordUid": file_uid,
        "fileRecordKey": to_base64(ecies_seal(owner, file_key)),
        "fileRecordData": to_url_safe(gcm_seal(file_key, _description(file))),
        "ownerRecordUid": record.uid,
        "ownerRecordRevision": record.revision,
        "ownerRecordData": to_url_safe(gcm_seal(record_key, json.dumps(content).encode())),
        "linkKey": to_base64(gcm_seal(record_key, file_key)),
        "fileSize": len(sealed),
    }
    answer = parse_object(session.ask(endpoints.ADD_FILE, request))
    record.raw_json = json.dumps(content)
    url, parameters = _upload_place(answer)
    media_type, body = multipart_form(parameters, sealed)
    session.upload(url, media_type=media_type, body=body)
    return file_uid


def _upload_place(answer: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    url = answer.get("url")
    if not isinstance(url, str):
        raise ServerAnswerError("the server did not say where to upload", operation="upload")
    return url, parse_object(answer.get("parameters") or "")


def _description(file: KeeperFileUpload) -> bytes:
    description = {
        "name": file.Name,
        "title": file.Title or file.Name,
        "size": len(file.Data or b""),
        "lastModified": int(time.time() * 1000),
        "type": file.Type,
    }
    return json.dumps(description).encode()


def _with_file(content: dict[str, Any], file_uid: str) -> dict[str, Any]:
    changed = copy.deepcopy(content)
    for field in changed["fields"]:
        if field.get("type") == "fileRef":
            field["value"] = [*(field.get("value") or []), file_uid]
            return changed
    changed["fields"].append({"type": "fileRef", "value": [file_uid]})
    return changed


def _without_files(content: dict[str, Any], uids: list[str]) -> dict[str, Any]:
    changed = copy.deepcopy(content)
    for field in changed["fields"]:
        if field.get("type") == "fileRef":
            field["value"] = [uid for uid in field.get("value") or [] if uid not in uids]
    return changed
