"""The contract between the core and a plugin: what wraps and unwraps a DEK."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from .aad import Aad

DEK_BYTES = 32
MAX_WRAPPED_DEK = 8192
MAX_ALGORITHM = 64


@dataclass(frozen=True, slots=True)
class WrappedDek:
    """Hold a DEK as its KEK encrypted it, and what is needed to have it decrypted again.

    Attributes:
        key_id: The KEK as the provider names it, resolved: no alias, and with the version where
            the service needs it to decrypt. Visible ASCII, at most 2048 characters.
        algorithm: The provider's own name of the wrapping algorithm. Visible ASCII, at most 64.
        ciphertext: What the service returned, 1 to 8192 bytes.
    """

    key_id: str
    algorithm: str
    ciphertext: bytes


@runtime_checkable
class KeyWrapper(Protocol):
    """Wrap and unwrap 32-byte DEKs under one KEK.

    The methods raise only errors of :mod:`ksm_storage.errors`, each ``from`` its cause. They may
    be called from several threads at once.
    """

    @property
    def binds_aad(self) -> bool:
        """Tell whether the service itself refuses to unwrap under another AAD.

        RSA-OAEP cannot; the envelope's header MAC binds the AAD in any case.
        """
        ...

    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        """Encrypt the DEK under the KEK with one call to the key service."""
        ...

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        """Decrypt a DEK that this KEK wrapped, naming the KEK in the call.

        Raises:
            DecryptionError: Another KEK, another AAD, or altered ciphertext.
        """
        ...

    def close(self) -> None:
        """Release what the key wrapper holds; further calls are allowed and do nothing."""
        ...


@runtime_checkable
class ReadsOfficialFormat(Protocol):
    """Also decrypt what Keeper's own storage packages encrypted under the same KEK.

    An ability beyond the contract: a key wrapper that has the method has the ability.
    """

    def decrypt_official(self, ciphertext: bytes) -> bytes:
        """Decrypt a wrapped key, or for AWS a whole configuration, without any AAD of ours.

        Raises:
            DecryptionError: Another KEK, or altered ciphertext.
        """
        ...
