"""The management endpoint: keys, their states and their versions.

https://docs.oracle.com/en-us/iaas/api/#/en/key/latest/Key/
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ksm_storage_emulators.oci_vault.errors import OciError, hidden
from ksm_storage_emulators.oci_vault.keys import (
    CURVES,
    DISABLED,
    ECDSA,
    ENABLED,
    LENGTHS,
    PENDING_DELETION,
    Key,
    KeyVersion,
)
from ksm_storage_emulators.oci_vault.operation import Operation, require_enabled

_DAY = 86_400.0
# A date of deletion is between 7 and 30 days away; 30 days if none is given.
_MIN_WAIT = 7 * _DAY
_MAX_WAIT = 30 * _DAY


def create_key(operation: Operation) -> Mapping[str, Any]:
    """Create a key in the vault."""
    if not operation.caller.may("KEY_CREATE", "*"):
        raise hidden()
    shape = operation.arguments.member("keyShape")
    algorithm, length = shape.get("algorithm"), shape.get("length")
    if algorithm not in LENGTHS or length not in LENGTHS[algorithm]:
        raise OciError("InvalidParameter", "keyShape is invalid.")
    curve = CURVES[length][1] if algorithm == ECDSA else None
    if shape.get("curveId") not in (None, curve):
        raise OciError("InvalidParameter", "keyShape.curveId does not fit the key.")
    name = operation.arguments.text("displayName")
    operation.arguments.text("compartmentId")
    key = operation.vault.create(algorithm=str(algorithm), length=int(length), name=name)
    return _described(operation, key)


def get_key(operation: Operation) -> Mapping[str, Any]:
    """Describe a key."""
    return _described(operation, operation.key(operation.path[0], "KEY_READ"))


def enable_key(operation: Operation) -> Mapping[str, Any]:
    """Enable a disabled key."""
    return _moved(operation, "KEY_UPDATE", DISABLED, ENABLED)


def disable_key(operation: Operation) -> Mapping[str, Any]:
    """Disable an enabled key."""
    return _moved(operation, "KEY_UPDATE", ENABLED, DISABLED)


def schedule_key_deletion(operation: Operation) -> Mapping[str, Any]:
    """Schedule the deletion of a key; it cannot be used from now on."""
    key = operation.key(operation.path[0], "KEY_DELETE")
    if key.state not in (ENABLED, DISABLED):
        raise _incorrect(key)
    key.deleted_at = _time_of_deletion(operation)
    key.state = PENDING_DELETION
    return _described(operation, key)


def cancel_key_deletion(operation: Operation) -> Mapping[str, Any]:
    """Take the schedule back; the key is enabled then."""
    reply = _moved(operation, "KEY_DELETE", PENDING_DELETION, ENABLED)
    operation.key(operation.path[0], "KEY_DELETE").deleted_at = None
    return reply


def create_key_version(operation: Operation) -> Mapping[str, Any]:
    """Rotate a key."""
    key = operation.key(operation.path[0], "KEY_ROTATE")
    require_enabled(key, key.current)
    return _version(operation, key, key.rotate(operation.now))


def get_key_version(operation: Operation) -> Mapping[str, Any]:
    """Describe a version of a key."""
    key = operation.key(operation.path[0], "KEY_READ")
    return _version(operation, key, key.version(operation.path[1]))


def list_key_versions(operation: Operation) -> list[Mapping[str, Any]]:
    """List the versions of a key, newest first."""
    key = operation.key(operation.path[0], "KEY_READ")
    return [_version(operation, key, version) for version in reversed(key.versions)]


def schedule_version_deletion(operation: Operation) -> Mapping[str, Any]:
    """Schedule the deletion of a version, which must not be the current one."""
    key = operation.key(operation.path[0], "KEY_DELETE")
    version = key.version(operation.path[1])
    if version is key.current or version.state != ENABLED:
        raise _incorrect(key)
    version.deleted_at = _time_of_deletion(operation)
    version.state = PENDING_DELETION
    return _version(operation, key, version)


def _moved(operation: Operation, permission: str, before: str, after: str) -> Mapping[str, Any]:
    key = operation.key(operation.path[0], permission)
    if key.state != before:
        raise _incorrect(key)
    key.state = after
    return _described(operation, key)


def _incorrect(key: Key) -> OciError:
    return OciError("IncorrectState", f"The key is in state {key.state}.")


def _time_of_deletion(operation: Operation) -> float:
    text = operation.arguments.optional_text("timeOfDeletion")
    if text is None:
        return operation.now + _MAX_WAIT
    try:
        chosen = datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        raise OciError("InvalidParameter", "timeOfDeletion is invalid.") from None
    if not _MIN_WAIT - 60 <= chosen - operation.now <= _MAX_WAIT + 60:
        raise OciError("InvalidParameter", "timeOfDeletion is out of range.")
    return chosen


def _described(operation: Operation, key: Key) -> Mapping[str, Any]:
    shape: dict[str, Any] = {"algorithm": key.algorithm, "length": key.length}
    if key.algorithm == ECDSA:
        shape["curveId"] = CURVES[key.length][1]
    return {
        "id": key.ocid,
        "vaultId": operation.vault.ocid,
        "displayName": key.name,
        "lifecycleState": key.state,
        "currentKeyVersion": key.current.ocid,
        "keyShape": shape,
        "protectionMode": "SOFTWARE",
        "timeCreated": _time(key.created_at),
        "timeOfDeletion": _time(key.deleted_at),
    }


def _version(operation: Operation, key: Key, version: KeyVersion) -> Mapping[str, Any]:
    public_key = None
    if version.private_key is not None:
        public_key = version.private_key.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
    return {
        "id": version.ocid,
        "keyId": key.ocid,
        "vaultId": operation.vault.ocid,
        "publicKey": None if public_key is None else public_key.decode(),
        "lifecycleState": version.state,
        "timeCreated": _time(version.created_at),
        "timeOfDeletion": _time(version.deleted_at),
    }


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    moment = datetime.fromtimestamp(seconds, tz=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
