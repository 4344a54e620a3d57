"""The table of operations by method and path."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ksm_storage_emulators.oci_vault import crypto_operations, key_operations
from ksm_storage_emulators.oci_vault.operation import Operation

Action = Callable[[Operation], Any]

_BASE = "/20180608"
_KEY = rf"{_BASE}/keys/([^/]+)"
_VERSION = rf"{_KEY}/keyVersions/([^/]+)"

# Operation -> (method, path, action). Names as in the API reference.
ROUTES: dict[str, tuple[str, str, Action]] = {
    "Encrypt": ("POST", f"{_BASE}/encrypt", crypto_operations.encrypt),
    "Decrypt": ("POST", f"{_BASE}/decrypt", crypto_operations.decrypt),
    "Sign": ("POST", f"{_BASE}/sign", crypto_operations.sign),
    "GenerateDataEncryptionKey": (
        "POST",
        f"{_BASE}/generateDataEncryptionKey",
        crypto_operations.generate_data_encryption_key,
    ),
    "CreateKey": ("POST", f"{_BASE}/keys", key_operations.create_key),
    "GetKey": ("GET", _KEY, key_operations.get_key),
    "EnableKey": ("POST", f"{_KEY}/actions/enable", key_operations.enable_key),
    "DisableKey": ("POST", f"{_KEY}/actions/disable", key_operations.disable_key),
    "ScheduleKeyDeletion": (
        "POST",
        f"{_KEY}/actions/scheduleDeletion",
        key_operations.schedule_key_deletion,
    ),
    "CancelKeyDeletion": (
        "POST",
        f"{_KEY}/actions/cancelDeletion",
        key_operations.cancel_key_deletion,
    ),
    "CreateKeyVersion": ("POST", f"{_KEY}/keyVersions", key_operations.create_key_version),
    "ListKeyVersions": ("GET", f"{_KEY}/keyVersions", key_operations.list_key_versions),
    "GetKeyVersion": ("GET", _VERSION, key_operations.get_key_version),
    "ScheduleKeyVersionDeletion": (
        "POST",
        f"{_VERSION}/actions/scheduleDeletion",
        key_operations.schedule_version_deletion,
    ),
}

_PATTERNS = {name: re.compile(path) for name, (_, path, _) in ROUTES.items()}


def find_route(method: str, path: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the operation that a request asks for and the OCIDs in its path, or None."""
    for name, pattern in _PATTERNS.items():
        match = pattern.fullmatch(path)
        if match is not None and ROUTES[name][0] == method:
            return name, match.groups()
    return None


def is_path(path: str) -> bool:
    """Say whether some operation has this path, with whatever method."""
    return any(pattern.fullmatch(path) for pattern in _PATTERNS.values())
