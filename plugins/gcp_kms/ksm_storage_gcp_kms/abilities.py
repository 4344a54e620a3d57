"""What Cloud KMS says of a key and of the caller: state, versions, access and permissions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ksm_storage import plugin as kit

from .client import KmsClient
from .errors import DECRYPT, ENCRYPT, GET_KEY, GET_VERSION, VIEW_PUBLIC_KEY
from .key_names import NAMES
from .options import ASYMMETRIC

# Source: Cloud KMS documentation, "Key states".
STATES: Mapping[str, kit.KeyState] = {
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

# The narrowest predefined role of each. Source: Cloud KMS documentation, "Permissions and roles".
_ROLES = {
    DECRYPT: "roles/cloudkms.cryptoKeyDecrypter",
    ENCRYPT: "roles/cloudkms.cryptoKeyEncrypter",
    VIEW_PUBLIC_KEY: "roles/cloudkms.publicKeyViewer",
    GET_KEY: "roles/cloudkms.viewer",
    GET_VERSION: "roles/cloudkms.viewer",
}


def describe_key(client: KmsClient, name: kit.KeyName) -> kit.KeyDescription:
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
        return kit.KeyDescription(str(name), "unknown", public=public)
    word = _word(version.state)
    return kit.KeyDescription(
        key_id=str(name),
        state=STATES.get(word or "", "unknown"),
        state_name=word,
        deletion=_moment(version.destroy_time) if word == "DESTROY_SCHEDULED" else None,
        algorithm=_word(version.algorithm),
        protection=_word(version.protection_level),
        current_version=NAMES.parse(primary.name if primary else str(name)).version,
        rotation=_rotation(key),
        public=public,
    )


def describe_access(client: KmsClient, name: kit.KeyName) -> Mapping[str, str]:
    """Return whom the credentials speak for, and where the key is; Cloud KMS is not called.

    Raises:
        AuthenticationError: There are no usable credentials.
        ProviderError: They could not be obtained.
    """
    access = client.access
    labels = {
        "identity": client.identity(),
        "credential": access.credential,
        "project": name.parts["project"],
        "location": name.parts["location"],
        "endpoint": access.endpoint,
        "quota project": access.quota_project,
    }
    return {label: value for label, value in labels.items() if value}


def probe_permissions(
    client: KmsClient, name: kit.KeyName, purpose: str
) -> Sequence[kit.PermissionProbe]:
    """Return which permissions the caller has, asked with one call that needs none.

    Raises:
        ProviderError: Cloud KMS could not be asked.
    """
    needs: dict[str, kit.Need] = {
        DECRYPT: "open",
        VIEW_PUBLIC_KEY if purpose == ASYMMETRIC else ENCRYPT: "seal",
        GET_KEY: "describe",
        GET_VERSION: "describe",
    }
    # A version has no policy of its own.
    reply = client.call("test_iam_permissions", {"resource": name.key, "permissions": list(needs)})
    granted, identity = set(reply.permissions), client.identity()
    return [
        kit.PermissionProbe(permission, need, True)
        if permission in granted
        else kit.PermissionProbe(
            permission,
            need,
            False,
            "it is not granted on the key, or the key does not exist",
            _grant_command(permission, name, identity=identity),
        )
        for permission, need in needs.items()
    ]


def _described(client: KmsClient, method: str, name: str) -> Any:
    reply = client.call(method, {"name": name})
    if reply.name != name:
        raise kit.ProviderError(
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


def _grant_command(permission: str, name: kit.KeyName, *, identity: str | None) -> str:
    member = "MEMBER"
    if identity is not None:
        is_account = identity.endswith(".gserviceaccount.com")
        member = f"{'serviceAccount' if is_account else 'user'}:{identity}"
    parts = name.parts
    return (
        f"gcloud kms keys add-iam-policy-binding {parts['name']} --project {parts['project']} "
        f"--keyring {parts['ring']} --location {parts['location']} --member {member} "
        f"--role {_ROLES[permission]}"
    )
