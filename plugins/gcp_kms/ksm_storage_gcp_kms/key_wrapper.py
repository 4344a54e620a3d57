"""Wrap and unwrap DEKs under one Cloud KMS key, and what ``status`` and ``doctor`` ask."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ksm_storage import plugin as kit

from . import purposes
from .client import KmsClient
from .errors import DECRYPT, ENCRYPT, GET_KEY, GET_VERSION, SIGN, VIEW_PUBLIC_KEY
from .hooks import ASYMMETRIC, NAMES, SYMMETRIC, SYMMETRIC_ALGORITHM

CHECK = "the endpoint, and that the key's name has the project's id and not its number"

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
    SIGN: "roles/cloudkms.signer",
    GET_KEY: "roles/cloudkms.viewer",
    GET_VERSION: "roles/cloudkms.viewer",
}


class GcpKmsKeyWrapper:
    """Wrap and unwrap under the key that a name stands for, with one call each.

    With an asymmetric key, the first wrap fetches the public key and no other wrap calls.
    """

    def __init__(self, name: kit.KeyName, client: KmsClient, *, purpose: str) -> None:
        self._name = name
        self._client = client
        self._purpose = purpose
        self._lock = threading.Lock()
        self._public_key: purposes.PublicKey | None = None

    @property
    def binds_aad(self) -> bool:
        """Tell whether Cloud KMS binds the AAD of what is wrapped here; RSA-OAEP cannot."""
        return self._purpose != ASYMMETRIC

    def wrap(self, dek: bytes, *, aad: kit.Aad) -> kit.WrappedDek:
        """Encrypt the DEK; the wrapped DEK names the version that did.

        Raises:
            SettingsError: The purpose needs a version, and the name has none.
            ProviderError: Cloud KMS refused or failed, or encrypted under another key.
        """
        if self._purpose == ASYMMETRIC:
            version, algorithm, ciphertext = self._fetched_public_key().encrypt(dek)
            return kit.WrappedDek(version, algorithm, ciphertext)
        if self._purpose == SYMMETRIC:
            wrapped = purposes.encrypt(self._client, str(self._name), dek, bytes(aad))
        else:
            wrapped = purposes.raw_encrypt(self._client, self._version(), dek, bytes(aad))
        version, algorithm, ciphertext = wrapped
        if not NAMES.covers(str(self._name), version):
            raise kit.other_key_error(
                "Cloud KMS", "encrypted under", version, self._name, check=CHECK
            )
        return kit.WrappedDek(version, algorithm, ciphertext)

    def unwrap(self, wrapped: kit.WrappedDek, *, aad: kit.Aad) -> bytes:
        """Decrypt a DEK that this key wrapped; another key is refused before Cloud KMS is called.

        Raises:
            DecryptionError: Another key, another AAD, or altered ciphertext.
            ProviderError: Cloud KMS refused or failed.
        """
        self._require_covered(wrapped)
        if wrapped.algorithm == SYMMETRIC_ALGORITHM:
            # The service refuses the name of a version here, and finds the version by itself.
            key = NAMES.parse(wrapped.key_id).key
            return purposes.decrypt(self._client, key, wrapped.ciphertext, bytes(aad))
        if wrapped.algorithm == purposes.RAW_ALGORITHM:
            return purposes.raw_decrypt(
                self._client, wrapped.key_id, wrapped.ciphertext, bytes(aad)
            )
        if purposes.is_rsa_algorithm(wrapped.algorithm):
            return purposes.asymmetric_decrypt(self._client, wrapped.key_id, wrapped.ciphertext)
        raise kit.DecryptionError(f"unknown wrapping algorithm: {wrapped.algorithm!r}")

    def decrypt_official(self, ciphertext: bytes) -> bytes:
        """Decrypt a key that Keeper's own packages encrypted under this key.

        Nothing in it names how it was encrypted: the option ``purpose`` says it.

        Raises:
            DecryptionError: Another key, or altered ciphertext.
            SettingsError: The purpose needs a version, and the name has none.
            ProviderError: Cloud KMS refused or failed.
        """
        if not ciphertext:
            # The service would refuse it as a malformed request, which would hide the damage.
            raise kit.DecryptionError("the ciphertext is empty")
        if self._purpose == SYMMETRIC:
            return purposes.decrypt(self._client, self._name.key, ciphertext, b"")
        if self._purpose == ASYMMETRIC:
            return purposes.asymmetric_decrypt(self._client, self._version(), ciphertext)
        return purposes.raw_decrypt_official(self._client, self._version(), ciphertext)

    def signing_key(self) -> kit.SigningKey:
        """Ask Cloud KMS for the public key of a version that signs."""
        from .signing import signing_key

        return signing_key(self._client, self._name)

    def create_signing_key(self) -> str:
        """Create the key of this name with one version, and return the name of the version."""
        from .signing import create_signing_key

        return create_signing_key(self._client, self._name)

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign a SHA-256 digest with one request."""
        from .signing import sign_digest

        return sign_digest(self._client, self._name, digest)

    def describe_key(self) -> kit.KeyDescription:
        """Ask Cloud KMS for the state and the versions of the key.

        Raises:
            ProviderError: Cloud KMS refused or failed.
        """
        key = _described(self._client, "get_crypto_key", self._name.key)
        # Only keys of the purpose ENCRYPT_DECRYPT have a primary version.
        primary = key.primary if key.primary.name else None
        version = primary
        if self._name.version is not None and (primary is None or primary.name != str(self._name)):
            version = _described(self._client, "get_crypto_key_version", str(self._name))
        public = _word(key.purpose) == ASYMMETRIC
        if version is None:
            return kit.KeyDescription(str(self._name), "unknown", public=public)
        word = _word(version.state)
        return kit.KeyDescription(
            key_id=str(self._name),
            state=STATES.get(word or "", "unknown"),
            state_name=word,
            deletion=_moment(version.destroy_time) if word == "DESTROY_SCHEDULED" else None,
            algorithm=_word(version.algorithm),
            protection=_word(version.protection_level),
            current_version=NAMES.parse(primary.name if primary else str(self._name)).version,
            rotation=_rotation(key),
            public=public,
        )

    def wrapping_version(self, wrapped: kit.WrappedDek, *, aad: kit.Aad) -> str | None:  # noqa: ARG002
        """Return the number of the version that wrapped a DEK, which it names; calls nothing.

        Raises:
            DecryptionError: Another key wrapped it.
        """
        self._require_covered(wrapped)
        return NAMES.parse(wrapped.key_id).version

    def describe_access(self) -> Mapping[str, str]:
        """Say whom the credentials speak for, and where the key is.

        Raises:
            AuthenticationError: There are no usable credentials.
            ProviderError: They could not be had.
        """
        access = self._client.access
        labels = {
            "identity": self._client.identity(),
            "credential": access.credential,
            "project": self._name.parts["project"],
            "location": self._name.parts["location"],
            "endpoint": access.endpoint,
            "quota project": access.quota_project,
            "first unwrap": self._client.first_unwrap(),
        }
        return {label: value for label, value in labels.items() if value}

    def probe_permissions(self) -> Sequence[kit.PermissionProbe]:
        """Ask Cloud KMS which permissions the caller has on the key, with one call.

        Raises:
            ProviderError: Cloud KMS could not be asked.
        """
        signing: dict[str, kit.Need] = {SIGN: "sign", VIEW_PUBLIC_KEY: "describe"}
        needs: dict[str, kit.Need] = {
            DECRYPT: "open",
            VIEW_PUBLIC_KEY if self._purpose == ASYMMETRIC else ENCRYPT: "seal",
            GET_KEY: "describe",
            GET_VERSION: "describe",
        }
        if self._signs():
            needs = {**signing, GET_KEY: "describe", GET_VERSION: "describe"}
        # A version has no policy of its own.
        reply = self._client.call(
            "test_iam_permissions", {"resource": self._name.key, "permissions": list(needs)}
        )
        granted, identity = set(reply.permissions), self._client.identity()
        found: list[kit.PermissionProbe] = []
        for permission, need in needs.items():
            reason = grant = None
            if permission not in granted:
                reason = "it is not granted on the key, or the key does not exist"
                grant = _grant_command(permission, self._name, identity=identity)
            found.append(kit.PermissionProbe(permission, need, reason is None, reason, grant))
        return found

    def close(self) -> None:
        """Close the connection to Cloud KMS."""
        self._client.close()

    def _signs(self) -> bool:
        # Only who names a version can mean a key that signs.
        if self._name.version is None or self._purpose != SYMMETRIC:
            return False
        try:
            key = _described(self._client, "get_crypto_key", self._name.key)
        except kit.PermissionDeniedError:
            return False
        return _word(key.purpose) == "ASYMMETRIC_SIGN"

    def _require_covered(self, wrapped: kit.WrappedDek) -> None:
        is_covered = NAMES.covers(str(self._name), wrapped.key_id)
        wrapped.require_made_by(self._name, is_covered=is_covered)

    def _version(self) -> str:
        if self._name.version is None:
            raise kit.SettingsError(
                f"the key {str(self._name)!r} has the purpose {self._purpose} and needs a version",
                hint="add /cryptoKeyVersions/N; only ENCRYPT_DECRYPT keys have a primary version",
            )
        return str(self._name)

    def _fetched_public_key(self) -> purposes.PublicKey:
        version = self._version()
        with self._lock:
            if self._public_key is None:
                self._public_key = purposes.fetch_public_key(self._client, version)
            return self._public_key


def _described(client: KmsClient, method: str, name: str) -> Any:
    reply = client.call(method, {"name": name})
    if reply.name != name:
        raise kit.other_key_error("Cloud KMS", "described", reply.name, name, check=CHECK)
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
