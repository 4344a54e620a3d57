"""A key service in this process, and the key wrapper of a KEK that it holds. For tests only."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..plugin import (
    Aad,
    AuthenticationError,
    DecryptionError,
    KeyNotFoundError,
    KeyStateError,
    PermissionDeniedError,
    ProviderError,
    ThrottledError,
    UnavailableError,
    WrappedDek,
    quiet_logs,
)

ALGORITHM = "MEMORY-AES-256-GCM"

_KEY_NAME_BYTES = 8
_logger = logging.getLogger("memory_key_service")


class MemoryServiceError(Exception):
    """Fail as a client library fails: a code, and a text that is not ours to repeat."""

    def __init__(self, code: str) -> None:
        super().__init__(f"memory key service said {code}, request 4242 of user mallory")
        self.code = code


class MemoryKeyService:
    """Hold KEKs in memory and behave as key services do, their bad habits included.

    It decrypts with whichever key a ciphertext names unless it is given the key, resolves
    aliases, and prints plaintext keys in its debug log.

    Attributes:
        aliases: Another name of a key -> its key id.
        calls: How many requests it received.
        failing_with: A code with which every request fails, or None.
    """

    def __init__(self, *key_ids: str) -> None:
        self._keys = {key_id: os.urandom(32) for key_id in key_ids}
        self.aliases: dict[str, str] = {}
        self.calls = 0
        self.failing_with: str | None = None

    def encrypt(self, key_id: str, plaintext: bytes, aad: bytes) -> tuple[str, bytes]:
        """Return the key id, resolved, and the ciphertext."""
        self._receive("encrypt", plaintext)
        resolved = self._resolved(key_id)
        name = self._name(resolved)
        nonce = os.urandom(12)
        sealed = AESGCM(self._keys[resolved]).encrypt(nonce, plaintext, name + aad)
        return resolved, name + nonce + sealed

    def decrypt(self, ciphertext: bytes, aad: bytes, *, key_id: str | None = None) -> bytes:
        """Return the plaintext; without a key id the ciphertext chooses the key."""
        self._receive("decrypt", ciphertext)
        name = ciphertext[:_KEY_NAME_BYTES]
        owner = next((key for key in self._keys if self._name(key) == name), None)
        if owner is None or len(ciphertext) < _KEY_NAME_BYTES + 12 + 16:
            raise MemoryServiceError("InvalidCiphertext")
        if key_id is not None and self._resolved(key_id) != owner:
            raise MemoryServiceError("IncorrectKey")
        rest = ciphertext[_KEY_NAME_BYTES:]
        try:
            plaintext = AESGCM(self._keys[owner]).decrypt(rest[:12], rest[12:], name + aad)
        except InvalidTag as exc:
            raise MemoryServiceError("InvalidCiphertext") from exc
        _logger.debug("reply to decrypt: %r", plaintext)
        return plaintext

    def _receive(self, operation: str, body: bytes) -> None:
        self.calls += 1
        _logger.debug("request to %s: %r", operation, body)
        if self.failing_with is not None:
            raise MemoryServiceError(self.failing_with)

    def _resolved(self, key_id: str) -> str:
        resolved = self.aliases.get(key_id, key_id)
        if resolved not in self._keys:
            raise MemoryServiceError("NotFound")
        return resolved

    def _name(self, key_id: str) -> bytes:
        return hashlib.sha256(key_id.encode()).digest()[:_KEY_NAME_BYTES]


class MemoryKek:
    """Wrap and unwrap with a KEK of a memory key service, as a good plugin does it."""

    binds_aad = True

    def __init__(self, key_id: str, service: MemoryKeyService | None = None) -> None:
        self._key_id = key_id
        self.service = service or MemoryKeyService(key_id)

    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        """Encrypt the DEK with one call."""
        try:
            with quiet_logs("memory_key_service"):
                key_id, ciphertext = self.service.encrypt(self._key_id, dek, bytes(aad))
        except MemoryServiceError as exc:
            raise translated(exc) from exc
        return WrappedDek(key_id, ALGORITHM, ciphertext)

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        """Decrypt the DEK with one call that names the KEK.

        Raises:
            DecryptionError: Another KEK, another AAD, or altered ciphertext.
        """
        if wrapped.algorithm != ALGORITHM:
            raise DecryptionError(f"the wrapping algorithm {wrapped.algorithm!r} is not known here")
        if wrapped.key_id != self.service.aliases.get(self._key_id, self._key_id):
            raise DecryptionError("the DEK was wrapped by another key")
        try:
            with quiet_logs("memory_key_service"):
                return self.service.decrypt(wrapped.ciphertext, bytes(aad), key_id=self._key_id)
        except MemoryServiceError as exc:
            raise translated(exc) from exc

    def close(self) -> None:
        """Do nothing: the keys live as long as the service."""


def translated(exc: MemoryServiceError) -> DecryptionError | ProviderError:
    """Return the error of ours for a code of the service."""
    message = ERROR_TABLE.get(exc.code)
    if message is None:
        return ProviderError(f"the memory key service failed with {exc.code!r}")
    kind, text = message
    return kind(text)


ERROR_TABLE: Mapping[str, tuple[type[DecryptionError] | type[ProviderError], str]] = {
    "InvalidCiphertext": (
        DecryptionError,
        "the wrapped DEK does not decrypt: another context or altered data",
    ),
    "IncorrectKey": (DecryptionError, "the DEK was wrapped by another key"),
    "Unauthenticated": (AuthenticationError, "the memory key service does not know the caller"),
    "Denied": (PermissionDeniedError, "the caller may not use the key"),
    "NotFound": (KeyNotFoundError, "there is no such key"),
    "Disabled": (KeyStateError, "the key is disabled"),
    "Throttled": (ThrottledError, "the memory key service asks for fewer requests"),
    "Unavailable": (UnavailableError, "the memory key service is out of reach"),
}
