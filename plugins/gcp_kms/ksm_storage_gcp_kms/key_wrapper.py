"""Wrap and unwrap DEKs under one Cloud KMS key."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from ksm_storage import plugin as kit

from . import purposes
from .client import KmsClient
from .key_names import NAMES, SYMMETRIC_ALGORITHM
from .options import ASYMMETRIC, SYMMETRIC


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
            raise kit.ProviderError(
                f"Cloud KMS encrypted under the key {version!r} instead of {str(self._name)!r}",
                hint="check the endpoint: Cloud KMS itself does not do this; in the key's name, "
                "write the project's id and not its number",
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

    def describe_key(self) -> kit.KeyDescription:
        """Ask Cloud KMS for the state and the versions of the key.

        Raises:
            ProviderError: Cloud KMS refused or failed.
        """
        from .abilities import describe_key

        return describe_key(self._client, self._name)

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
        from .abilities import describe_access

        return describe_access(self._client, self._name)

    def probe_permissions(self) -> Sequence[kit.PermissionProbe]:
        """Ask Cloud KMS which permissions the caller has on the key, with one call.

        Raises:
            ProviderError: Cloud KMS could not be asked.
        """
        from .abilities import probe_permissions

        return probe_permissions(self._client, self._name, self._purpose)

    def close(self) -> None:
        """Close the connection to Cloud KMS."""
        self._client.close()

    def _require_covered(self, wrapped: kit.WrappedDek) -> None:
        if not NAMES.covers(str(self._name), wrapped.key_id):
            raise kit.DecryptionError(
                f"the data key was wrapped by the key {wrapped.key_id!r}, not by "
                f"{str(self._name)!r}"
            )

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
