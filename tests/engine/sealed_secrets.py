"""Build really encrypted answers, as a server would hold them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from ksm_storage.wire.aes import cbc_seal, gcm_seal
from ksm_storage.wire.base64_forms import new_uid, to_base64

Json = dict[str, Any]


def login(title: str, *, password: str = "correct horse", **parts: Any) -> Json:
    """Return the content of a login record."""
    fields = [
        {"type": "login", "value": ["alice"]},
        {"type": "password", "value": [password]},
    ]
    return {"title": title, "type": "login", "fields": fields, **parts}


def record(content: Json, parent_key: bytes, *, uid: str | None = None, **parts: Any) -> Json:
    """Return a sealed record entry; ``files`` is a list of (description, content) pairs."""
    key = os.urandom(32)
    files = [sealed_file(key, *file) for file in parts.pop("files", ())]
    return {
        "recordUid": uid or new_uid(),
        "recordKey": to_base64(gcm_seal(parent_key, key)),
        "data": to_base64(gcm_seal(key, json.dumps(content).encode())),
        "revision": 7,
        "isEditable": True,
        "files": files,
        "innerFolderUid": None,
        **parts,
    }


def sealed_file(record_key: bytes, description: Json, url: str, key: bytes) -> Json:
    """Return a file entry under the record key."""
    return {
        "fileUid": new_uid(),
        "fileKey": to_base64(gcm_seal(record_key, key)),
        "data": to_base64(gcm_seal(key, json.dumps(description).encode())),
        "url": url,
        "thumbnailUrl": None,
    }


def shared_folder(app_key: bytes, folder_key: bytes, records: Sequence[Json], uid: str) -> Json:
    """Return a shared folder of get_secret."""
    return {
        "folderUid": uid,
        "folderKey": to_base64(gcm_seal(app_key, folder_key)),
        "records": list(records),
    }


def root_folder(app_key: bytes, key: bytes, *, uid: str, name: str) -> Json:
    """Return a shared folder of get_folders."""
    sealed = to_base64(gcm_seal(app_key, key))
    return {"folderUid": uid, "folderKey": sealed, "parent": None, "data": folder_name(key, name)}


def child_folder(root_key: bytes, key: bytes, *, uid: str, parent: str, name: str) -> Json:
    """Return a folder below, whose key is under the root's."""
    sealed = to_base64(cbc_seal(root_key, key))
    return {"folderUid": uid, "folderKey": sealed, "parent": parent, "data": folder_name(key, name)}


def folder_name(key: bytes, name: str) -> str:
    """Return a sealed folder name."""
    return to_base64(cbc_seal(key, json.dumps({"name": name}).encode()))
