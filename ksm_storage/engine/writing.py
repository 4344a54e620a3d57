"""Create, save and delete records and folders, and attach files."""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ..wire import endpoints
from ..wire.aes import KEY_BYTES, cbc_seal, gcm_seal
from ..wire.base64_forms import new_uid, to_base64, to_url_safe
from ..wire.json_objects import list_of_objects, parse_object
from ..wire.keys import ecies_seal
from ..wire.requests import (
    AddFileRequest,
    CompleteTransactionRequest,
    CreateFolderRequest,
    CreateRequest,
    DeleteFolderRequest,
    DeleteRequest,
    UpdateFolderRequest,
    UpdateRequest,
)
from . import late_errors as errors
from .answer import answered_object
from .dto.payload import CreateOptions, UpdateOptions
from .folder import KeeperFolder, open_folders
from .keeper_file import KeeperFileUpload, multipart_form
from .record import Record
from .session import Session

_MAX_NAMED = 5


class RecordContent(Protocol):
    """What a new record is made from: ours, or the official package's."""

    def to_json(self) -> str:
        """Return the content as JSON."""


async def create_record(
    session: Session,
    options: CreateOptions,
    content: RecordContent,
    folders: Sequence[KeeperFolder] | None,
) -> str:
    """Create a record in a shared folder and return its uid."""
    if not callable(getattr(content, "to_json", None)):
        raise errors.ClientSettingsError("New record data has to be a valid RecordCreate object")
    folder_key = _key_of(folders or await fetch_folders(session), options.folder_uid)
    client = await session.client_part()
    owner = await session.work(session.device.owner_public_key)
    data = content.to_json().encode()
    # A record key belongs to one record; it goes to the owner and, under its key, to the folder.
    record_key = os.urandom(KEY_BYTES)
    request: CreateRequest = {
        **client,
        "recordUid": new_uid(),
        "recordKey": to_base64(ecies_seal(owner, record_key)),
        "folderUid": options.folder_uid,
        "folderKey": to_base64(gcm_seal(folder_key, record_key)),
        "data": to_base64(gcm_seal(record_key, data)),
        "subFolderUid": options.subfolder_uid,
    }
    await _change(session, endpoints.CREATE_SECRET, request)
    return request["recordUid"]


async def update_record(session: Session, record: Record, options: UpdateOptions | None) -> None:
    """Save the record's current content; files to detach leave its references too."""
    given = options or UpdateOptions()
    removed = given.links_to_remove or []
    uids = [removed] if isinstance(removed, str) else list(removed)
    content = _without_files(record.dict, uids) if uids else record.dict
    request: UpdateRequest = {
        **(await session.client_part()),
        "recordUid": record.uid,
        "revision": record.revision,
        "data": to_base64(gcm_seal(record.record_key_bytes, json.dumps(content).encode())),
        "transactionType": given.transaction_type,
        "links2Remove": uids or None,
    }
    await _change(session, endpoints.UPDATE_SECRET, request)
    # The caller's object changes only once the server has the change.
    if uids:
        record.raw_json = json.dumps(content)


async def complete_transaction(session: Session, record_uid: str, *, path: str) -> None:
    """End a transaction by the given path: finalize or roll back."""
    request: CompleteTransactionRequest = {**(await session.client_part()), "recordUid": record_uid}
    await _change(session, path, request)


async def delete_records(session: Session, record_uids: list[str]) -> list[dict[str, Any]]:
    """Delete records and return what the server answers for each.

    Raises:
        DeletionRefusedError: One of them was not deleted.
    """
    request: DeleteRequest = {**(await session.client_part()), "recordUids": record_uids}
    answer = answered_object(await _change(session, endpoints.DELETE_SECRET, request))
    return _all_deleted(list_of_objects(answer.get("records")), "record", endpoints.DELETE_SECRET)


def as_list(uids: Sequence[str] | str) -> list[str]:
    """Return one uid or many as a list."""
    return [uids] if isinstance(uids, str) else list(uids)


def _all_deleted(results: list[dict[str, Any]], kind: str, path: str) -> list[dict[str, Any]]:
    refused = [result for result in results if result.get("responseCode", "ok") != "ok"]
    if not refused:
        return results
    named = ", ".join(
        f"{str(result.get(f'{kind}Uid'))[:64]!r} ({str(result.get('responseCode'))[:64]!r})"
        for result in refused[:_MAX_NAMED]
    )
    rest = ", ..." if len(refused) > _MAX_NAMED else ""
    exc = errors.DeletionRefusedError(
        f"the server did not delete {len(refused)} of {len(results)} {kind}s: {named}{rest}",
        hint="check the application's edit permission; the others were deleted",
        operation=path,
    )
    exc.results = results
    raise exc


async def attach_file(session: Session, record: Record, file: KeeperFileUpload) -> str:
    """Upload a file, refer to it in its record and return the file's uid."""
    if file.Data is None or not file.Name:
        raise errors.ClientSettingsError("a file to upload must have a name and data")
    client = await session.client_part()
    owner = await session.work(session.device.owner_public_key)
    file_uid, file_key = new_uid(), os.urandom(KEY_BYTES)
    content = _with_file(record.dict, file_uid)
    encrypted = gcm_seal(file_key, file.Data)
    record_key = record.record_key_bytes
    request: AddFileRequest = {
        **client,
        "fileRecordUid": file_uid,
        "fileRecordKey": to_base64(ecies_seal(owner, file_key)),
        "fileRecordData": to_url_safe(gcm_seal(file_key, _description(file))),
        "ownerRecordUid": record.uid,
        "ownerRecordRevision": record.revision,
        "ownerRecordData": to_url_safe(gcm_seal(record_key, json.dumps(content).encode())),
        "linkKey": to_base64(gcm_seal(record_key, file_key)),
        "fileSize": len(encrypted),
    }

    async def announce_and_send() -> None:
        answer = answered_object(await session.ask(endpoints.ADD_FILE, request))
        record.raw_json = json.dumps(content)
        url, parameters = _upload_place(answer)
        media_type, body = multipart_form(parameters, encrypted)
        await session.upload(url, media_type=media_type, body=body)

    # One change: a record that refers to a file without content would be half of it.
    await session.finish(announce_and_send())
    return file_uid


async def _change(session: Session, path: str, request: Mapping[str, Any]) -> bytes:
    return await session.finish(session.ask(path, request))


def _upload_place(answer: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    url = answer.get("url")
    if not isinstance(url, str):
        raise errors.ServerAnswerError(
            "the server sent no address for the upload", operation="upload"
        )
    parameters = answer.get("parameters")
    try:
        return url, parse_object(parameters) if parameters else {}
    except (ValueError, TypeError) as exc:
        raise errors.ServerAnswerError(
            "the parameters of the upload are not a JSON object", operation="upload"
        ) from exc


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


async def fetch_folders(session: Session) -> list[KeeperFolder]:
    """Return all folders that can be decrypted."""
    answer = answered_object(await session.ask(endpoints.GET_FOLDERS, await session.client_part()))
    app_key = await session.work(session.device.app_key)
    return open_folders(list_of_objects(answer.get("folders")), app_key)


def _key_of(folders: Sequence[KeeperFolder], uid: str) -> bytes:
    for folder in folders:
        if folder.folder_uid == uid:
            return folder.folder_key
    raise errors.SecretNotFoundError(
        f"folder key for {uid} not found: the folder is not shared with this application",
        hint="folder_uid must be a shared folder; a folder inside it is the subfolder_uid",
    )


async def create_folder(
    session: Session,
    options: CreateOptions,
    name: str,
    folders: Sequence[KeeperFolder] | None,
) -> str:
    """Create a folder below a shared folder and return its uid."""
    key = _key_of(folders or await fetch_folders(session), options.folder_uid)
    new_key = os.urandom(KEY_BYTES)
    request: CreateFolderRequest = {
        **(await session.client_part()),
        "folderUid": new_uid(),
        "sharedFolderUid": options.folder_uid,
        "sharedFolderKey": to_url_safe(cbc_seal(key, new_key)),
        "data": _encrypted_name(name, new_key),
        "parentUid": options.subfolder_uid,
    }
    await _change(session, endpoints.CREATE_FOLDER, request)
    return request["folderUid"]


async def rename_folder(
    session: Session, uid: str, name: str, folders: Sequence[KeeperFolder] | None
) -> None:
    """Give a folder another name."""
    key = _key_of(folders or await fetch_folders(session), uid)
    request: UpdateFolderRequest = {
        **(await session.client_part()),
        "folderUid": uid,
        "data": _encrypted_name(name, key),
    }
    await _change(session, endpoints.UPDATE_FOLDER, request)


async def delete_folders(session: Session, uids: list[str], *, force: bool) -> list[dict[str, Any]]:
    """Delete folders, with their content if forced; return what the server answers for each.

    Raises:
        DeletionRefusedError: One of them was not deleted.
    """
    request: DeleteFolderRequest = {
        **(await session.client_part()),
        "folderUids": uids,
        "forceDeletion": force,
    }
    answer = answered_object(await _change(session, endpoints.DELETE_FOLDER, request))
    return _all_deleted(list_of_objects(answer.get("folders")), "folder", endpoints.DELETE_FOLDER)


def _encrypted_name(name: str, key: bytes) -> str:
    return to_url_safe(cbc_seal(key, json.dumps({"name": name}).encode()))
