"""A ``conftest.py`` for the official suite: its storages become sealed files of ours."""

from __future__ import annotations

import base64
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import keeper_secrets_manager_core as official
from keeper_secrets_manager_core import core, storage

import ksm_storage
from ksm_storage.providers.key_file import key_uri_of, write_key_file
from ksm_storage.storage.encrypted_storage import EncryptedStorage

FOLDER = Path(tempfile.mkdtemp())
write_key_file(str(FOLDER / "app.key"))
KEY = key_uri_of(FOLDER / "app.key")


class SealedFile:
    """Stand in the place of FileKeyValueStorage."""

    default_config_file_location = "client-config.json"

    def __new__(cls, config_file_location: str | None = None) -> EncryptedStorage:  # type: ignore[misc]
        path = config_file_location or os.environ.get("KSM_CONFIG_FILE") or "client-config.json"
        return ksm_storage.open_storage(path, keys=[KEY])


class SealedCopy:
    """Stand in the place of InMemoryKeyValueStorage: a sealed file that begins with its values."""

    def __new__(cls, config: Any = None) -> EncryptedStorage:  # type: ignore[misc]
        made = ksm_storage.open_storage(FOLDER / os.urandom(8).hex(), keys=[KEY])
        if isinstance(config, str):
            is_json = config.lstrip().startswith("{")
            config = json.loads(config if is_json else base64.b64decode(config))
        for key, value in (config or {}).items():
            made.set(getattr(key, "value", key), None if value is None else str(value))
        return made


for module in (storage, core, official):
    for name, ours in (
        ("FileKeyValueStorage", SealedFile),
        ("InMemoryKeyValueStorage", SealedCopy),
    ):
        if hasattr(module, name):
            setattr(module, name, ours)
