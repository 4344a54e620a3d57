"""Shared folders as get_secrets lists them, and folders as get_folders does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import DecryptionError
from ..wire.aes import GcmKey
from ..wire.base64_forms import from_base64
from .record import Record


class Folder:
    """Hold a shared folder of an answer; its key is opened when a record of it is.

    Attributes:
        uid: The folder's uid.
        parent_uid: The folder above, if the server says.
        name: The name, if the server says.
        records: Its records that open.
    """

    def __init__(self, entry: Mapping[str, Any], app_gcm: GcmKey) -> None:
        self.uid: str = entry.get("folderUid") or ""
        self.parent_uid: str = entry.get("parentUid") or ""
        self.name: str = entry.get("name") or ""
        self.records: Sequence[Record] = ()
        self._sealed_key: str | None = entry.get("folderKey")
        self._app_gcm = app_gcm
        self._key: bytes | None = None
        self._gcm: GcmKey | None = None

    def __repr__(self) -> str:
        return f"Folder(uid={self.uid!r})"

    @property
    def key(self) -> bytes:
        """Return the folder key.

        Raises:
            DecryptionError: It does not open with the application key.
        """
        if self._key is None:
            try:
                self._key = self._app_gcm.open(from_base64(self._sealed_key or ""))
            except ValueError as exc:
                raise DecryptionError(f"the key of folder {self.uid!r} is not base64") from exc
        return self._key

    def failure(self) -> DecryptionError | None:
        """Return why the folder key does not open, None if it does."""
        try:
            _ = self.key
        except DecryptionError as exc:
            return exc
        return None

    def gcm(self) -> GcmKey:
        """Return the folder key, ready to open record keys."""
        if self._gcm is None:
            self._gcm = GcmKey(self.key)
        return self._gcm


@dataclass(frozen=True, slots=True)
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
