"""What the vault says of a key and the credentials of the caller, and which permissions it has.

Source: OCI API Reference, Key Management Service, "Key Reference" and "KeyVersion Reference".
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

from ksm_storage import plugin as kit

from .client import PERMISSIONS, VaultClient

_NEEDS: Mapping[str, kit.Need] = {"encrypt": "seal", "decrypt": "open", "get_key": "describe"}

_STATES: Mapping[str, kit.KeyState] = {
    "ENABLED": "enabled",
    "DISABLED": "disabled",
    "SCHEDULING_DELETION": "pending-deletion",
    "PENDING_DELETION": "pending-deletion",
    "DELETING": "destroyed",
    "DELETED": "destroyed",
}


def describe_key(client: VaultClient) -> kit.KeyDescription:
    """Ask the management endpoint for the key, and for the version where the name has one.

    Raises:
        KsmStorageError: The vault, the network, the credentials or a setting failed.
    """
    name = client.name
    with closing(client.management()) as management:
        key = management.call("get_key", {"key_id": name.key}).data
        asked = key
        if name.version is not None and key.lifecycle_state == "ENABLED":
            details = {"key_id": name.key, "key_version_id": name.version}
            asked = management.call("get_key_version", details).data
    shape = key.key_shape
    return kit.KeyDescription(
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


def describe_access(client: VaultClient) -> Mapping[str, str]:
    """Return who signs the requests, and for which vault.

    Raises:
        KsmStorageError: The credentials could not be obtained.
    """
    credentials, access, name = client.credentials(), client.access, client.name
    signer, config = credentials.signer, credentials.config
    labels = {
        "credential": access.credential.kind,
        "identity": config.get("user"),
        "tenancy": config.get("tenancy") or getattr(signer, "tenancy_id", None),
        "region": access.region or name.parts["region"],
        "vault": name.parts["vault"],
        "endpoint": access.connection.endpoint,
    }
    return {label: value for label, value in labels.items() if isinstance(value, str) and value}


def probe_permissions(
    crypto: VaultClient, details: Mapping[str, object]
) -> Sequence[kit.PermissionProbe]:
    """Try each operation with random bytes that are thrown away.

    Raises:
        KsmStorageError: The vault, the network, the credentials or a setting failed.
    """
    name = crypto.name
    made: list[str] = []

    def encrypt() -> None:
        plaintext = base64.b64encode(os.urandom(kit.DEK_BYTES)).decode()
        reply = crypto.call("encrypt", {**details, "plaintext": plaintext})
        made.append(reply.optional_text("ciphertext") or "")

    def decrypt() -> None:
        # Where nothing could be encrypted, something that no key made: who is told that it does not
        # decrypt is allowed to decrypt.
        ciphertext = made[0] if made else base64.b64encode(os.urandom(96)).decode()
        crypto.call("decrypt", {**details, "ciphertext": ciphertext})

    def read() -> None:
        with closing(crypto.management()) as management:
            management.call("get_key", {"key_id": name.key})

    sealing = _probed(name, "encrypt", encrypt)
    return [_probed(name, "decrypt", decrypt), sealing, _probed(name, "get_key", read)]


def _probed(name: kit.KeyName, operation: str, call: Callable[[], None]) -> kit.PermissionProbe:
    permission, need = PERMISSIONS[operation], _NEEDS[operation]
    granted: bool | None = True
    reason = None
    try:
        call()
    except kit.DecryptionError:
        granted = True
    except kit.PermissionDeniedError as exc:
        granted, reason = False, exc.message
    except kit.KeyStateError as exc:
        # Which of the two the service checks first is not documented.
        granted, reason = None, exc.message
    except kit.UnavailableError as exc:
        # The management endpoint has a host of its own, which need not be in reach.
        if operation != "get_key":
            raise
        granted, reason = None, exc.message
    grant = None if granted else _policy(permission, name)
    return kit.PermissionProbe(permission, need, granted, reason, grant)


def _policy(permission: str, name: kit.KeyName) -> str:
    return (
        f"Allow group GROUP to {{{permission}}} in compartment COMPARTMENT "
        f"where target.key.id = '{name.key}'"
    )


def _time(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None


def _rotation(key: Any) -> str | None:
    details = getattr(key, "auto_key_rotation_details", None)
    days = getattr(details, "rotation_interval_in_days", None)
    if not getattr(key, "is_auto_rotation_enabled", False) or days is None:
        return None
    return f"every {days} days"
