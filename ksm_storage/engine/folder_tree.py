"""Open the folder tree: roots under the application key, all below under their root's key."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from ..errors import DecryptionError
from ..wire.aes import KEY_BYTES, cbc_open, gcm_open
from ..wire.base64_forms import from_base64
from .folder import KeeperFolder

_log = logging.getLogger(__name__)
Entries = Mapping[str, dict[str, Any]]


def open_folders(entries: list[dict[str, Any]], app_key: bytes) -> list[KeeperFolder]:
    """Return the folders that open, in the server's order.

    A folder that does not open, or whose chain of parents does not end in a shared folder, is
    left out and logged by its uid.
    """
    by_uid = {str(entry.get("folderUid") or ""): entry for entry in entries}
    root_keys: dict[str, bytes] = {}
    folders: list[KeeperFolder] = []
    for entry in entries:
        try:
            folders.append(_open_folder(entry, by_uid, app_key, root_keys))
        except (DecryptionError, KeyError, ValueError, AttributeError, TypeError, RecursionError):
            _log.warning("the folder %.64r does not open and is left out", entry.get("folderUid"))
    return folders


def _open_folder(
    entry: dict[str, Any], by_uid: Entries, app_key: bytes, root_keys: dict[str, bytes]
) -> KeeperFolder:
    uid, parent = str(entry["folderUid"]), str(entry.get("parent") or "")
    if parent:
        root_key = _root_key(_root_of(entry, by_uid), app_key, root_keys)
        key = cbc_open(root_key, from_base64(entry["folderKey"]))
    else:
        key = _root_key(entry, app_key, root_keys)
    if len(key) != KEY_BYTES:
        raise DecryptionError(f"the key of folder {uid!r} has {len(key)} bytes instead of 32")
    return KeeperFolder(key, uid, parent, _name_of(entry, key))


def _root_key(root: dict[str, Any], app_key: bytes, root_keys: dict[str, bytes]) -> bytes:
    uid = str(root["folderUid"])
    if uid not in root_keys:
        root_keys[uid] = gcm_open(app_key, from_base64(root["folderKey"]))
    return root_keys[uid]


def _root_of(entry: dict[str, Any], by_uid: Entries) -> dict[str, Any]:
    seen: set[str] = set()
    while parent := str(entry.get("parent") or ""):
        if parent in seen:
            raise ValueError("the folders form a circle")
        seen.add(parent)
        entry = by_uid[parent]
    return entry


def _name_of(entry: dict[str, Any], key: bytes) -> str:
    data = entry.get("data")
    if not data:
        return ""
    return str(json.loads(cbc_open(key, from_base64(data))).get("name") or "")
