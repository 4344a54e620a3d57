"""Wrap DEKs with AES-256-GCM under a KEK that this process holds."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..plugin import (
    Aad,
    AuthenticationError,
    DecryptionError,
    PermissionDeniedError,
    WrappedDek,
)

if TYPE_CHECKING:
    from ..contract.abilities import KeyDescription, PermissionProbe

ALGORITHM = "AES-256-GCM"
KEK_BYTES = 32

_NONCE_BYTES = 12
_TAG_BYTES = 16


class AesGcmWrapper:
    """Wrap under the 32-byte KEK that a function returns; it is called at each use.

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
            raise DecryptionError(f"unsupported wrapping algorithm {wrapped.algorithm!r}")
        if wrapped.key_id != self._key_id:
            raise DecryptionError("the data key was wrapped under another key")
        nonce, sealed = wrapped.ciphertext[:_NONCE_BYTES], wrapped.ciphertext[_NONCE_BYTES:]
        if len(sealed) < _TAG_BYTES:
            raise DecryptionError(
                "the wrapped data key is too short", hint="restore the file from a backup"
            )
        try:
            return AESGCM(self._for_unwrap()).decrypt(nonce, sealed, bytes(aad))
        except InvalidTag as exc:
            raise DecryptionError(
                "the wrapped data key does not decrypt: wrong key, wrong context or altered data",
                hint="check whether the key was replaced or created anew; if it is the right one, "
                "restore the file from a backup",
            ) from exc

    def describe_key(self) -> KeyDescription:
        """Read the KEK to prove that it exists; it has no versions and no states."""
        from ..contract.abilities import KeyDescription

        self._for_unwrap()
        return KeyDescription(self._key_id, "enabled", algorithm="AES-256", protection="SOFTWARE")

    def wrapping_version(self, wrapped: WrappedDek, *, aad: Aad) -> str | None:  # noqa: ARG002
        """Return None: a local KEK has no versions."""
        return None

    def describe_access(self) -> Mapping[str, str]:
        """Return where the KEK is kept, and the user who reads it."""
        import getpass

        try:
            user = getpass.getuser()
        # A container may run under a number that has no name (KeyError until Python 3.13).
        except (KeyError, OSError):
            return dict(self._kept_in)
        return {"identity": user, **self._kept_in}

    def probe_permissions(self) -> Sequence[PermissionProbe]:
        """Tell whether this user may read the KEK, as wrapping and unwrapping need."""
        from ..contract.abilities import PermissionProbe

        try:
            self._for_unwrap()
        except (AuthenticationError, PermissionDeniedError) as exc:
            return [
                PermissionProbe("read", "open", granted=False, reason=exc.message, grant=exc.hint)
            ]
        return [PermissionProbe("read", "open", granted=True)]

    def close(self) -> None:
        """Do nothing: no KEK is held between calls."""
