"""Shared folders as get_secret lists them, and the folder tree of get_folders."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import DecryptionError
from ..wire.aes import KEY_BYTES, GcmKey, cbc_open, gcm_open
from ..wire.base64_forms import from_base64
from ..wire.json_objects import parse_object

if TYPE_CHECKING:
    from .record import Record

Entries = Mapping[str, dict[str, Any]]
# The logger of the official package, which programs configure by this name.
_log = logging.getLogger("ksm")


class Folder:
    """Hold a shared folder of an answer; its key is decrypted with its first record.

    Attributes:
        uid: The folder's uid.
        parent_uid: The folder above, if the server says.
        name: The name, if the server says.
        records: Its records that can be decrypted.
    """

    def __init__(self, entry: Mapping[str, Any], app_gcm: GcmKey) -> None:
        self.uid: str = entry.get("folderUid") or ""
        self.parent_uid: str = entry.get("parentUid") or ""
        self.name: str = entry.get("name") or ""
        self.records: Sequence[Record] = ()
        self._encrypted_key: str | None = entry.get("folderKey")
        self._app_gcm = app_gcm
        self._key: bytes | None = None
        self._gcm: GcmKey | None = None

    def __repr__(self) -> str:
        return f"Folder(uid={self.uid!r})"

    @property
    def key(self) -> bytes:
        """Return the folder key.

        Raises:
            DecryptionError: The application key does not decrypt it.
        """
        if self._key is None:
            try:
                self._key = self._app_gcm.open(from_base64(self._encrypted_key or ""))
            except ValueError as exc:
                raise DecryptionError(f"the key of folder {self.uid!r} is not base64") from exc
        return self._key

    def failure(self) -> DecryptionError | None:
        """Return why the folder key cannot be decrypted, None if it can."""
        try:
            _ = self.key
        except DecryptionError as exc:
            return exc
        return None

    def gcm(self) -> GcmKey:
        """Return the folder key, ready to decrypt record keys."""
        if self._gcm is None:
            self._gcm = GcmKey(self.key)
        return self._gcm


@dataclass(slots=True)
class KeeperFolder:
    """Hold one folder of the tree.

    Attributes:
        folder_key: The 32-byte key; not in the repr.
        folder_uid: The folder's uid.
        parent_uid: The folder above, empty for a shared folder.
        name: The name.
    """

    folder_key: bytes = field(repr=False)
    folder_uid: str
    parent_uid: str
    name: str


def open_folders(entries: list[dict[str, Any]], app_key: bytes) -> list[KeeperFolder]:
    """Return the folders that can be decrypted, in the server's order.

    The key of a shared folder is under the application key, those of all folders below under the
    shared folder's key. A folder that cannot be decrypted, or whose chain of parents does not
    end in a shared folder, is left out and logged by its uid.
    """
    by_uid = {str(entry.get("folderUid") or ""): entry for entry in entries}
    root_keys: dict[str, bytes] = {}
    folders: list[KeeperFolder] = []
    for entry in entries:
        try:
            folders.append(_open_folder(entry, by_uid, app_key, root_keys))
        except (DecryptionError, KeyError, ValueError, AttributeError, TypeError):
            _log.warning("cannot decrypt the folder %.64r; it is left out", entry.get("folderUid"))
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
        raise DecryptionError(f"the key of folder {uid!r} is {len(key)} bytes, not 32")
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
            raise ValueError("the folders form a cycle")
        seen.add(parent)
        entry = by_uid[parent]
    return entry


def _name_of(entry: dict[str, Any], key: bytes) -> str:
    data = entry.get("data")
    if not data:
        return ""
    return str(parse_object(cbc_open(key, from_base64(data))).get("name") or "")
