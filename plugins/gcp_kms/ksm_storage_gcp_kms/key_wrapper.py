"""Wrap and unwrap DEKs under one Cloud KMS key."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ksm_storage.plugin import Aad, DecryptionError, ProviderError, SettingsError, WrappedDek

from . import asymmetric, key_names, raw, symmetric
from .client import KmsClient
from .key_names import KeyName
from .options import ASYMMETRIC, SYMMETRIC

if TYPE_CHECKING:
    from ksm_storage.plugin import KeyDescription, PermissionProbe


class GcpKmsKeyWrapper:
    """Wrap and unwrap under the key that a name stands for, with one call each.

    With an asymmetric key, the first wrap fetches the public key and no other wrap calls.
    """

    def __init__(self, name: KeyName, client: KmsClient, *, purpose: str) -> None:
        self._name = name
        self._client = client
        self._purpose = purpose
        self._lock = threading.Lock()
        self._public_key: asymmetric.PublicKey | None = None

    @property
    def binds_aad(self) -> bool:
        """Tell whether Cloud KMS binds the AAD of what is wrapped here; RSA-OAEP cannot."""
        return self._purpose != ASYMMETRIC

    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        """Encrypt the DEK; the wrapped DEK names the version that did.

        Raises:
            SettingsError: The purpose needs a version, and the name has none.
            ProviderError: Cloud KMS refused or failed, or encrypted under another key.
        """
        if self._purpose == ASYMMETRIC:
            public_key = self._fetched_public_key()
            return WrappedDek(public_key.version, public_key.algorithm, public_key.encrypt(dek))
        if self._purpose == SYMMETRIC:
            version, ciphertext = symmetric.encrypt(self._client, str(self._name), dek, bytes(aad))
            return self._checked(WrappedDek(version, symmetric.ALGORITHM, ciphertext))
        version, sealed = raw.encrypt(self._client, self._version(), dek, bytes(aad))
        return self._checked(WrappedDek(version, raw.ALGORITHM, sealed))

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        """Decrypt a DEK that this key wrapped; another key is refused before Cloud KMS is called.

        Raises:
            DecryptionError: Another key, another AAD, or altered ciphertext.
            ProviderError: Cloud KMS refused or failed.
        """
        self._require_covered(wrapped)
        if wrapped.algorithm == symmetric.ALGORITHM:
            # The service refuses the name of a version here, and finds the version by itself.
            key = KeyName.parse(wrapped.key_id).key
            return symmetric.decrypt(self._client, key, wrapped.ciphertext, bytes(aad))
        if wrapped.algorithm == raw.ALGORITHM:
            return raw.decrypt(self._client, wrapped.key_id, wrapped.ciphertext, bytes(aad))
        if asymmetric.is_algorithm(wrapped.algorithm):
            return asymmetric.decrypt(self._client, wrapped.key_id, wrapped.ciphertext)
        raise DecryptionError(f"the wrapping algorithm {wrapped.algorithm!r} is not known here")

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
            raise DecryptionError("the ciphertext is empty")
        if self._purpose == SYMMETRIC:
            return symmetric.decrypt(self._client, self._name.key, ciphertext, b"")
        if self._purpose == ASYMMETRIC:
            return asymmetric.decrypt(self._client, self._version(), ciphertext)
        return raw.decrypt_official(self._client, self._version(), ciphertext)

    def describe_key(self) -> KeyDescription:
        """Ask Cloud KMS for the state and the versions of the key.

        Raises:
            ProviderError: Cloud KMS refused or failed.
        """
        from .description import describe_key

        return describe_key(self._client, self._name)

    def wrapping_version(self, wrapped: WrappedDek, *, aad: Aad) -> str | None:  # noqa: ARG002
        """Return the number of the version that wrapped a DEK, which it names; calls nothing.

        Raises:
            DecryptionError: Another key wrapped it.
        """
        self._require_covered(wrapped)
        return KeyName.parse(wrapped.key_id).version

    def describe_access(self) -> Mapping[str, str]:
        """Say whom the credentials speak for, and where the key is.

        Raises:
            AuthenticationError: There are no usable credentials.
            ProviderError: They could not be had.
        """
        from .access import describe_access

        return describe_access(self._client, self._name)

    def probe_permissions(self) -> Sequence[PermissionProbe]:
        """Ask Cloud KMS which permissions the caller has on the key, with one call.

        Raises:
            ProviderError: Cloud KMS could not be asked.
        """
        from .probing import probe_permissions

        return probe_permissions(self._client, self._name, self._purpose)

    def close(self) -> None:
        """Close the connection to Cloud KMS."""
        self._client.close()

    def _require_covered(self, wrapped: WrappedDek) -> None:
        if not key_names.covers(str(self._name), wrapped.key_id):
            raise DecryptionError(
                f"the DEK was wrapped by the key {wrapped.key_id!r}, not by {str(self._name)!r}"
            )

    def _checked(self, wrapped: WrappedDek) -> WrappedDek:
        if not key_names.covers(str(self._name), wrapped.key_id):
            raise ProviderError(
                f"Cloud KMS encrypted under the key {wrapped.key_id!r} instead of "
                f"{str(self._name)!r}",
                hint="check the endpoint: Cloud KMS itself does not do this; in the key's name, "
                "write the project's id and not its number",
            )
        return wrapped

    def _version(self) -> str:
        if self._name.version is None:
            raise SettingsError(
                f"the key {str(self._name)!r} has the purpose {self._purpose} and needs a version",
                hint="add /cryptoKeyVersions/N; only ENCRYPT_DECRYPT keys have a primary version",
            )
        return str(self._name)

    def _fetched_public_key(self) -> asymmetric.PublicKey:
        version = self._version()
        with self._lock:
            if self._public_key is None:
                self._public_key = asymmetric.fetched(self._client, version)
            return self._public_key
