"""What the vault tells of a key, and what the credentials tell of the caller.

Source: OCI API Reference, Key Management Service, "Key Reference" and "KeyVersion Reference".
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ksm_storage.plugin import KeyDescription, KeyState

from .client import Sdk, VaultClient
from .key_names import KeyName
from .options import Connection

_STATES: Mapping[str, KeyState] = {
    "ENABLED": "enabled",
    "DISABLED": "disabled",
    "SCHEDULING_DELETION": "pending-deletion",
    "PENDING_DELETION": "pending-deletion",
    "DELETING": "destroyed",
    "DELETED": "destroyed",
}


def management_sdk() -> Sdk:
    """Return Oracle's client of the management endpoint."""
    from . import management

    return management


def described(name: KeyName, client: VaultClient) -> KeyDescription:
    """Ask for the key, and for the version where the name has one."""
    key = client.call("get_key", {"key_id": name.ocid}).data
    asked = key
    if name.version is not None and key.lifecycle_state == "ENABLED":
        details = {"key_id": name.ocid, "key_version_id": name.version}
        asked = client.call("get_key_version", details).data
    shape = key.key_shape
    return KeyDescription(
        str(name),
        _STATES.get(asked.lifecycle_state, "unusable"),
        state_name=asked.lifecycle_state,
        deletion=_time(asked.time_of_deletion),
        algorithm=f"{shape.algorithm}-{shape.length * 8}",
        protection=key.protection_mode,
        current_version=key.current_key_version,
        rotation=_rotation(key),
        public=shape.algorithm == "RSA",
    )


def access_labels(name: KeyName, client: VaultClient, connection: Connection) -> Mapping[str, str]:
    """Say who signs the requests, and to which vault."""
    credentials = client.credentials()
    signer, config = credentials.signer, credentials.config
    labels = {
        "credential": connection.credential.kind,
        "identity": config.get("user"),
        "tenancy": config.get("tenancy") or getattr(signer, "tenancy_id", None),
        "region": connection.region or name.region,
        "vault": name.vault,
        "endpoint": connection.endpoint,
    }
    return {label: value for label, value in labels.items() if isinstance(value, str) and value}


def _time(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None


def _rotation(key: Any) -> str | None:
    details = getattr(key, "auto_key_rotation_details", None)
    days = getattr(details, "rotation_interval_in_days", None)
    if not getattr(key, "is_auto_rotation_enabled", False) or days is None:
        return None
    return f"every {days} days"
