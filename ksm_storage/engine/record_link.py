"""A link of a record: to another record, or to settings of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..errors import DecryptionError
from ..wire.aes import gcm_open
from ..wire.base64_forms import from_base64


class KeeperRecordLink:
    """Read one link; what cannot be read is None or False, as in the official package.

    Attributes:
        raw: The link as the server sent it.
        record_uid: The record that it names.
        path: None for another record's credential, else which settings it holds.
        data: Base64 of JSON, sealed under the owning record's key for some paths.
    """

    def __init__(self, link_dict: Mapping[str, Any]) -> None:
        self.raw = dict(link_dict)
        self.record_uid: str | None = self.raw.get("recordUid")
        self.path: str | None = self.raw.get("path")
        self.data: str | None = self.raw.get("data")

    def __str__(self) -> str:
        return f"[KeeperRecordLink: record_uid={self.record_uid}, path={self.path}]"

    def get_link_data(self, record_key: bytes | None = None) -> dict[str, Any] | None:
        """Return the JSON object of the data, opened with the owning record's key if need be."""
        data = self._bytes()
        if data is None:
            return None
        # Ciphertext may begin with a brace by chance, so a failed parse is not the end.
        plain = _object_of(data)
        if plain is not None or record_key is None:
            return plain
        try:
            return _object_of(gcm_open(record_key, data))
        except DecryptionError:
            return None

    def get_decrypted_data(self, record_key: bytes | None = None) -> str | None:
        """Return the sealed data as text, or None."""
        data = self._bytes()
        if data is None or record_key is None:
            return None
        try:
            return gcm_open(record_key, data).decode("utf-8", errors="replace")
        except DecryptionError:
            return None

    def get_settings_for_path(
        self, settings_path: str, record_key: bytes | None = None
    ) -> dict[str, Any] | None:
        """Return the settings if the link is of this path, else None."""
        return self.get_link_data(record_key) if self.path == settings_path else None

    def get_meta_data(self, record_key: bytes | None = None) -> dict[str, Any] | None:
        """Return the settings of path ``meta``."""
        return self.get_settings_for_path("meta", record_key)

    def get_ai_settings_data(self, record_key: bytes) -> dict[str, Any] | None:
        """Return the settings of path ``ai_settings``."""
        return self.get_settings_for_path("ai_settings", record_key)

    def get_jit_settings_data(self, record_key: bytes) -> dict[str, Any] | None:
        """Return the settings of path ``jit_settings``."""
        return self.get_settings_for_path("jit_settings", record_key)

    def is_admin_user(self) -> bool:
        """Tell whether the linked user is an administrator."""
        return self._flag("is_admin")

    def is_launch_credential(self) -> bool:
        """Tell whether the link is the credential to launch with."""
        return self._flag("is_launch_credential")

    def is_iam_user(self) -> bool:
        """Tell whether the linked user is an IAM user."""
        return self._flag("is_iam_user")

    def belongs_to(self) -> bool:
        """Tell whether the linked credential belongs to the record."""
        return self._flag("belongs_to")

    def get_rotation_settings(self) -> dict[str, Any] | None:
        """Return the rotation settings, or None."""
        settings = (self.get_link_data() or {}).get("rotation_settings")
        return settings if isinstance(settings, dict) else None

    def get_allowed_settings(self) -> dict[str, Any]:
        """Return the allowed settings, an empty object if there are none."""
        settings = (self.get_link_data() or {}).get("allowedSettings")
        return settings if isinstance(settings, dict) else {}

    def _flag(self, name: str) -> bool:
        return (self.get_link_data() or {}).get(name) is True

    def _bytes(self) -> bytes | None:
        try:
            return None if self.data is None else from_base64(self.data)
        except (ValueError, AttributeError):
            return None


def _object_of(data: bytes) -> dict[str, Any] | None:
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None
