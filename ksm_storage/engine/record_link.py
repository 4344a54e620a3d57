"""A link of a record: to another record, or to settings of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import DecryptionError
from ..wire.aes import gcm_open
from ..wire.base64_forms import from_base64
from ..wire.json_objects import parse_object


class KeeperRecordLink:
    """Read one link; what cannot be read is None or False, as in the official package.

    Attributes:
        raw: The link as the server sent it.
        record_uid: The record that it names.
        path: None for another record's credential, else which settings it holds.
        data: Base64 of JSON, encrypted under the owning record's key for some paths.
    """

    def __init__(self, link_dict: Mapping[str, Any]) -> None:
        self.raw = dict(link_dict) if isinstance(link_dict, Mapping) else {}
        self.record_uid: str | None = self.raw.get("recordUid")
        self.path: str | None = self.raw.get("path")
        self.data: str | None = self.raw.get("data")

    def __str__(self) -> str:
        return f"[KeeperRecordLink: record_uid={self.record_uid}, path={self.path}]"

    def get_link_data(self, record_key: bytes | None = None) -> dict[str, Any] | None:
        """Return the JSON object of the data, decrypted with the owning record's key if need be."""
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
        """Return the encrypted data as text, or None."""
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

    def no_update_services(self) -> bool:
        """Tell whether updates of services are disabled."""
        return self._flag("no_update_services")

    def allows_rotation(self) -> bool:
        """Tell whether rotation is allowed."""
        return self._allowed("rotation")

    def allows_connections(self) -> bool:
        """Tell whether connections are allowed."""
        return self._allowed("connections")

    def allows_port_forwards(self) -> bool:
        """Tell whether port forwards are allowed."""
        return self._allowed("portForwards")

    def allows_session_recording(self) -> bool:
        """Tell whether session recording is on."""
        return self._allowed("sessionRecording")

    def allows_typescript_recording(self) -> bool:
        """Tell whether typescript recording is on."""
        return self._allowed("typescriptRecording")

    def allows_remote_browser_isolation(self) -> bool:
        """Tell whether remote browser isolation is on."""
        return self._allowed("remoteBrowserIsolation")

    def ai_enabled(self) -> bool:
        """Tell whether AI features are on."""
        return self._allowed("aiEnabled")

    def ai_session_terminate(self) -> bool:
        """Tell whether AI may terminate sessions."""
        return self._allowed("aiSessionTerminate")

    def rotates_on_termination(self) -> bool:
        """Tell whether the credential is rotated when a session ends."""
        return self._flag("rotateOnTermination")

    def get_link_data_version(self) -> int | None:
        """Return the version of the data, or None."""
        version = self._plain().get("version")
        return version if isinstance(version, int) and not isinstance(version, bool) else None

    def get_rotation_settings(self) -> dict[str, Any] | None:
        """Return the rotation settings, or None."""
        settings = self._plain().get("rotation_settings")
        return settings if isinstance(settings, dict) else None

    def get_allowed_settings(self) -> dict[str, Any]:
        """Return the allowed settings, an empty object if there are none."""
        settings = self._plain().get("allowedSettings")
        return settings if isinstance(settings, dict) else {}

    def get_decoded_data(self) -> str | None:
        """Return the data decoded from base64, as text, or None."""
        data = self._bytes()
        return None if data is None else data.decode("utf-8", errors="replace")

    def has_readable_data(self) -> bool:
        """Tell whether the data looks like plain JSON."""
        return (self.get_decoded_data() or "").startswith(("{", "["))

    def might_be_encrypted(self) -> bool:
        """Tell whether links of this path hold encrypted data."""
        return self.path in ("ai_settings", "jit_settings")

    def has_encrypted_data(self) -> bool:
        """Tell whether the data looks encrypted: not JSON, and mostly not printable."""
        text = self.get_decoded_data()
        if text is None or text.startswith(("{", "[")):
            return False
        sample = text[:100]
        printable = sum(" " <= c <= "~" or c in "\n\r\t" for c in sample)
        return printable <= 0.9 * len(sample)

    def _plain(self) -> dict[str, Any]:
        return self.get_link_data() or {}

    def _flag(self, name: str) -> bool:
        return self._plain().get(name) is True

    def _allowed(self, name: str) -> bool:
        # At the top level, else among the allowed settings.
        value = self._plain().get(name)
        if isinstance(value, bool):
            return value
        return self.get_allowed_settings().get(name) is True

    def _bytes(self) -> bytes | None:
        try:
            return None if self.data is None else from_base64(self.data)
        except ValueError:
            return None


def _object_of(data: bytes) -> dict[str, Any] | None:
    try:
        return parse_object(data)
    except ValueError:
        return None
