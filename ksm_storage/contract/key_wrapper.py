"""The contract between the core and a plugin: the AAD, a wrapped DEK, and what wraps it."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ..errors import DecryptionError

DEK_BYTES = 32
MAX_WRAPPED_DEK = 8192
MAX_ALGORITHM = 64


class Aad(Mapping[str, str]):
    """Hold an immutable map of short ASCII strings, never secret.

    It is a ``Mapping[str, str]`` for the services that bind a string map (AWS KMS's
    EncryptionContext, OCI's associatedData); ``bytes(aad)`` is for those that bind bytes
    (Google Cloud KMS, PKCS #11). Both forms say exactly the same: two maps have the same bytes
    only if they are equal.
    """

    __slots__ = ("_pairs",)

    def __init__(self, pairs: Mapping[str, str]) -> None:
        self._pairs = dict(pairs)

    def __getitem__(self, name: str) -> str:
        return self._pairs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __bytes__(self) -> bytes:
        """Serialise as the AWS Encryption SDK does its encryption context.

        A two-byte count, then the pairs sorted by the bytes of their names, each string behind
        its two-byte length, all big-endian.
        Source: AWS Encryption SDK message format, "Key-Value Pairs".
        """
        encoded = sorted((name.encode(), value.encode()) for name, value in self._pairs.items())
        parts = [len(encoded).to_bytes(2, "big")]
        for pair in encoded:
            for text in pair:
                parts += (len(text).to_bytes(2, "big"), text)
        return b"".join(parts)

    def __repr__(self) -> str:
        return f"Aad({self._pairs!r})"

    def __hash__(self) -> int:
        return hash(frozenset(self._pairs.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Aad) and self._pairs == other._pairs


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

    def require_made_by(
        self,
        key: object,
        *,
        is_covered: bool,
        algorithms: Container[str] | None = None,
        max_bytes: int = MAX_WRAPPED_DEK,
    ) -> None:
        """Refuse what another key wrapped, before a service is called.

        Args:
            key: The key that is to unwrap.
            is_covered: Whether its name may stand for :attr:`key_id`.
            algorithms: Those that are known, unless the plugin checks it otherwise.
            max_bytes: The longest ciphertext that the service takes. A longer one, or none, would
                be a malformed request to it, which would hide the damage.

        Raises:
            DecryptionError: Another key wrapped it, or with an unknown algorithm, or the
                ciphertext is empty or too long.
        """
        if algorithms is not None and self.algorithm not in algorithms:
            raise DecryptionError(f"unknown wrapping algorithm: {self.algorithm!r}")
        if not is_covered:
            raise DecryptionError(
                f"the data key was wrapped by the key {self.key_id!r}, not by {str(key)!r}"
            )
        if not 1 <= len(self.ciphertext) <= max_bytes:
            raise DecryptionError(f"the wrapped data key must be 1 to {max_bytes} bytes")


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
