"""What KMS says of a key: its state, its current key material, its rotation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ksm_storage.plugin import (
    KeyDescription,
    KeyStateError,
    PermissionDeniedError,
    ProviderError,
    UnavailableError,
)

from . import key_names
from .client import KmsClient
from .key_names import KeyName
from .options import SYMMETRIC

if TYPE_CHECKING:
    from ksm_storage.plugin import KeyState

# Source: AWS KMS Developer Guide, "Key states of AWS KMS keys": an updating key is in full use.
STATES: Mapping[str, KeyState] = {
    "Enabled": "enabled",
    "Updating": "enabled",
    "Disabled": "disabled",
    "PendingDeletion": "pending-deletion",
    "PendingReplicaDeletion": "pending-deletion",
    "PendingImport": "unusable",
    "Creating": "unusable",
    "Unavailable": "unusable",
}


def describe_key(client: KmsClient, name: KeyName) -> KeyDescription:
    """Return the description of a key, with the rotation only where the caller may see it.

    Raises:
        ProviderError: KMS refused or failed.
    """
    metadata = key_metadata(client, name)
    word, algorithm = _text(metadata, "KeyState"), _text(metadata, "KeySpec")
    return KeyDescription(
        key_id=str(metadata["Arn"]),
        state=STATES.get(word or "", "unknown"),
        state_name=word,
        deletion=_deletion(metadata),
        algorithm=algorithm,
        protection=_text(metadata, "Origin"),
        current_version=_text(metadata, "CurrentKeyMaterialId"),
        rotation=_rotation(client, metadata) if _may_rotate(metadata) else None,
        public=algorithm is not None and algorithm != SYMMETRIC,
    )


def key_metadata(client: KmsClient, name: KeyName) -> Mapping[str, Any]:
    """Return what ``DescribeKey`` says of the key that a name stands for.

    Raises:
        ProviderError: KMS refused or failed, or described another key.
    """
    key = str(name)
    reply = client.ask("DescribeKey", key, lambda kms: kms.describe_key(KeyId=key))
    metadata: Mapping[str, Any] = reply.get("KeyMetadata", {})
    arn = _text(metadata, "Arn")
    if arn is None:
        raise UnavailableError(
            "the reply of KMS has no 'Arn': it was cut off or altered on its way",
            hint="try again; if it stays, look at the proxies between here and KMS",
        )
    if not key_names.covers(key, arn):
        raise ProviderError(f"KMS described the key {arn!r} instead of {key!r}")
    return metadata


def _deletion(metadata: Mapping[str, Any]) -> datetime | None:
    deletion = metadata.get("DeletionDate")
    if deletion is None and metadata.get("ExpirationModel") == "KEY_MATERIAL_EXPIRES":
        # Imported key material is deleted then, and comes back only if its owner imports it anew.
        deletion = metadata.get("ValidTo")
    return deletion if isinstance(deletion, datetime) else None


def _may_rotate(metadata: Mapping[str, Any]) -> bool:
    return metadata.get("KeySpec") == SYMMETRIC and metadata.get("Origin") == "AWS_KMS"


def _rotation(client: KmsClient, metadata: Mapping[str, Any]) -> str | None:
    # An alias is not accepted here.
    arn = str(metadata["Arn"])
    try:
        reply = client.ask(
            "GetKeyRotationStatus", arn, lambda kms: kms.get_key_rotation_status(KeyId=arn)
        )
    except (PermissionDeniedError, KeyStateError):
        return None
    if reply.get("KeyRotationEnabled") is not True:
        return None
    days, due = reply.get("RotationPeriodInDays"), reply.get("NextRotationDate")
    words = f"every {days} days" if isinstance(days, int) else "automatic"
    return f"{words}, next on {due:%Y-%m-%d}" if isinstance(due, datetime) else words


def _text(metadata: Mapping[str, Any], name: str) -> str | None:
    value = metadata.get(name)
    return value if isinstance(value, str) and value else None
