"""What Cloud KMS says of a key: the state of a version, the primary version, the rotation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ksm_storage.plugin import KeyDescription, ProviderError

from .client import KmsClient
from .key_names import KeyName
from .options import ASYMMETRIC

if TYPE_CHECKING:
    from ksm_storage.plugin import KeyState

# Source: Cloud KMS documentation, "Key states".
STATES: Mapping[str, KeyState] = {
    "ENABLED": "enabled",
    "DISABLED": "disabled",
    "DESTROY_SCHEDULED": "pending-deletion",
    "PENDING_EXTERNAL_DESTRUCTION": "pending-deletion",
    "DESTROYED": "destroyed",
    "PENDING_GENERATION": "unusable",
    "GENERATION_FAILED": "unusable",
    "PENDING_IMPORT": "unusable",
    "IMPORT_FAILED": "unusable",
    "EXTERNAL_DESTRUCTION_FAILED": "unusable",
}


def describe_key(client: KmsClient, name: KeyName) -> KeyDescription:
    """Return the description of the version that is named, or else of the primary one.

    Raises:
        ProviderError: Cloud KMS refused or failed, or described another key.
    """
    key = _described(client, "get_crypto_key", name.key)
    # Only keys of the purpose ENCRYPT_DECRYPT have a primary version.
    primary = key.primary if key.primary.name else None
    version = primary
    if name.version is not None and (primary is None or primary.name != str(name)):
        version = _described(client, "get_crypto_key_version", str(name))
    public = _word(key.purpose) == ASYMMETRIC
    if version is None:
        return KeyDescription(str(name), "unknown", public=public)
    word = _word(version.state)
    return KeyDescription(
        key_id=str(name),
        state=STATES.get(word or "", "unknown"),
        state_name=word,
        deletion=_moment(version.destroy_time) if word == "DESTROY_SCHEDULED" else None,
        algorithm=_word(version.algorithm),
        protection=_word(version.protection_level),
        current_version=KeyName.parse(primary.name if primary else str(name)).version,
        rotation=_rotation(key),
        public=public,
    )


def _described(client: KmsClient, method: str, name: str) -> Any:
    reply = client.call(method, {"name": name})
    if reply.name != name:
        raise ProviderError(
            f"Cloud KMS described the key {str(reply.name)!r} instead of {name!r}",
            hint="check the endpoint: Cloud KMS itself does not do this; in the key's name, "
            "write the project's id and not its number",
        )
    return reply


def _word(value: Any) -> str | None:
    word = str(getattr(value, "name", value))
    return None if word.endswith("_UNSPECIFIED") else word


def _moment(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None


def _rotation(key: Any) -> str | None:
    period, due = key.rotation_period, _moment(key.next_rotation_time)
    if not isinstance(period, timedelta) or not period:
        return None
    return f"every {period.days} days" + (f", next on {due:%Y-%m-%d}" if due else "")
