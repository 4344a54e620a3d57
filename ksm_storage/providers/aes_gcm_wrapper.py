"""Wrap DEKs with AES-256-GCM under a KEK that this process holds."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..plugin import Aad, DecryptionError, WrappedDek

if TYPE_CHECKING:
    from ..contract.abilities import KeyDescription, PermissionProbe

ALGORITHM = "AES-256-GCM"
KEK_BYTES = 32

_NONCE_BYTES = 12
_TAG_BYTES = 16


class AesGcmWrapper:
    """Wrap under the 32-byte KEK that a function returns, asked for at each use.

    The ciphertext is ``nonce (12) || ciphertext || tag (16)``.
    Source: NIST SP 800-38D.
    """

    binds_aad = True

    def __init__(
        self,
        key_id: str,
        *,
        for_wrap: Callable[[], bytes],
        for_unwrap: Callable[[], bytes],
        kept_in: Mapping[str, str],
    ) -> None:
        self._key_id = key_id
        self._for_wrap = for_wrap
        self._for_unwrap = for_unwrap
        self._kept_in = kept_in

    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        """Encrypt the DEK under a random nonce."""
        # Random nonces are safe for 2**32 wraps under one KEK (SP 800-38D, 8.3): a file is
        # wrapped when it is made or given another key, not when it is saved.
        nonce = os.urandom(_NONCE_BYTES)
        sealed = AESGCM(self._for_wrap()).encrypt(nonce, dek, bytes(aad))
        return WrappedDek(self._key_id, ALGORITHM, nonce + sealed)

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        """Decrypt the DEK.

        Raises:
            DecryptionError: Another KEK, another AAD, or altered ciphertext.
        """
        if wrapped.algorithm != ALGORITHM:
            raise DecryptionError(f"the wrapping algorithm {wrapped.algorithm!r} is not known here")
        if wrapped.key_id != self._key_id:
            raise DecryptionError("the DEK was wrapped by another key")
        nonce, sealed = wrapped.ciphertext[:_NONCE_BYTES], wrapped.ciphertext[_NONCE_BYTES:]
        if len(sealed) < _TAG_BYTES:
            raise DecryptionError("the wrapped DEK is too short")
        try:
            return AESGCM(self._for_unwrap()).decrypt(nonce, sealed, bytes(aad))
        except InvalidTag as exc:
            raise DecryptionError(
                "the wrapped DEK does not decrypt: another key, another context or altered data"
            ) from exc

    def describe_key(self) -> KeyDescription:
        """Read the KEK, which shows that it is there; it has no versions and no states."""
        from .local_description import described

        return described(self._key_id, self._for_unwrap)

    def wrapping_version(self, wrapped: WrappedDek, *, aad: Aad) -> str | None:  # noqa: ARG002
        """Return None: a local KEK has no versions."""
        return None

    def describe_access(self) -> Mapping[str, str]:
        """Say where the KEK is kept, and for whom."""
        from .local_description import local_access

        return local_access(self._kept_in)

    def probe_permissions(self) -> Sequence[PermissionProbe]:
        """Tell whether this user may read the KEK."""
        from .local_description import probed

        return probed(self._for_unwrap)

    def close(self) -> None:
        """Do nothing: no KEK is kept between calls."""
