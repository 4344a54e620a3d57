"""Create, rename and delete folders."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from ..wire import endpoints
from ..wire.aes import KEY_BYTES, cbc_seal
from ..wire.base64_forms import new_uid, to_url_safe
from ..wire.requests import CreateFolderRequest, DeleteFolderRequest, UpdateFolderRequest
from .answer_json import list_of_objects, parse_object
from .errors import SecretNotFoundError
from .folder import KeeperFolder
from .folder_tree import open_folders
from .options import CreateOptions
from .session import Session


def fetch_folders(session: Session) -> list[KeeperFolder]:
    """Return all folders that open."""
    answer = parse_object(session.ask(endpoints.GET_FOLDERS, session.client_part()))
    return open_folders(list_of_objects(answer.get("folders")), session.device.app_key())


def folder_key(folders: Sequence[KeeperFolder], uid: str) -> bytes:
    """Return the key of a folder; raise SecretNotFoundError if it is not among them."""
    for folder in folders:
        if folder.folder_uid == uid:
            return folder.folder_key
    raise SecretNotFoundError(
        f"the folder {uid!r} is not shared with this application",
        hint="folder_uid names a shared folder; a folder inside it is the subfolder_uid",
    )


def create_folder(session: Session, options: CreateOptions, name: str, *, key: bytes) -> str:
    """Create a folder below a shared folder with this key and return its uid."""
    new_key = os.urandom(KEY_BYTES)
    request: CreateFolderRequest = {
        **session.client_part(),
        "folderUid": new_uid(),
        "sharedFolderUid": options.folder_uid,
        "sharedFolderKey": to_url_safe(cbc_seal(key, new_key)),
        "data": _sealed_name(name, new_key),
        "parentUid": options.subfolder_uid,
    }
    session.ask(endpoints.CREATE_FOLDER, request)
    return request["folderUid"]


def rename_folder(session: Session, uid: str, name: str, *, key: bytes) -> None:
    """Give the folder with this key another name."""
    request: UpdateFolderRequest = {
        **session.client_part(),
        "folderUid": uid,
        "data": _sealed_name(name, key),
    }
    session.ask(endpoints.UPDATE_FOLDER, request)


def delete_folders(session: Session, uids: list[str], *, force: bool) -> list[dict[str, Any]]:
    """Delete folders, with all that is in them if forced; return what the server says of each."""
    request: DeleteFolderRequest = {
        **session.client_part(),
        "folderUids": uids,
        "forceDeletion": force,
    }
    return list_of_objects(
        parse_object(session.ask(endpoints.DELETE_FOLDER, request)).get("folders")
    )


def _sealed_name(name: str, key: bytes) -> str:
    return to_url_safe(cbc_seal(key, json.dumps({"name": name}).encode()))
