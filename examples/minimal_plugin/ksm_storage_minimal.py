"""The provider ``minimal``: KEKs derived from one secret, for people who write their first plugin.

It shows the whole contract in under 30 lines of code. A key service of your own goes where the
cipher is; ``docs/plugins/writing.md`` tells the way there.
"""

from __future__ import annotations

import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ksm_storage.plugin import Aad, DecryptionError, Option, Settings, WrappedDek, hookimpl


class MinimalWrapper:
    """Wrap DEKs with AES-256-GCM under HMAC-SHA-256(secret, key id)."""

    binds_aad = True

    def __init__(self, key_id: str, secret: str) -> None:
        self._name = (key_id, "AES-256-GCM")
        self._aes = AESGCM(hmac.digest(secret.encode(), key_id.encode(), "sha256"))

    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        """Encrypt the DEK."""
        nonce = os.urandom(12)  # random nonces are safe for 2**32 wraps under one KEK
        return WrappedDek(*self._name, nonce + self._aes.encrypt(nonce, dek, bytes(aad)))

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        """Decrypt the DEK, or raise DecryptionError."""
        if (wrapped.key_id, wrapped.algorithm) != self._name:
            raise DecryptionError("the DEK was wrapped by another key")
        try:
            return self._aes.decrypt(wrapped.ciphertext[:12], wrapped.ciphertext[12:], bytes(aad))
        except (InvalidTag, ValueError) as exc:
            raise DecryptionError("another key, another context or altered data") from exc

    def close(self) -> None:
        """Do nothing: there is no connection."""


@hookimpl
def key_wrapper_options() -> list[Option]:
    """Declare the secret."""
    return [Option("secret", "What the KEKs are derived from, at random.", secret=True)]


@hookimpl
def open_key_wrapper(key_id: str, settings: Settings) -> MinimalWrapper:
    """Open the key wrapper of one KEK."""
    return MinimalWrapper(key_id, settings.required_text("secret"))
