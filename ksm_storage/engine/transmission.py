"""The two objects that a custom post function receives, with their official attribute names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# What comes back is anybody's object with ``status_code``, ``data`` and ``http_response``.
PostFunction = Callable[..., Any]


class TransmissionKey:
    """Carry the key of one request; a caching function may replace ``key``.

    Attributes:
        key: The 32 bytes that open the answer.
    """

    __slots__ = ("encryptedKey", "key", "publicKeyId")

    def __init__(self, public_key_id: str, key: bytes, encrypted_key: bytes) -> None:
        self.publicKeyId = public_key_id
        self.key = key
        self.encryptedKey = encrypted_key


class EncryptedPayload:
    """Carry the sealed payload of one request and its signature."""

    __slots__ = ("encrypted_payload", "signature")

    def __init__(self, encrypted_payload: bytes, signature: bytes) -> None:
        self.encrypted_payload = encrypted_payload
        self.signature = signature


class KSMHttpResponse:
    """Carry the answer that a custom post function returns."""

    __slots__ = ("data", "http_response", "status_code")

    def __init__(self, status_code: int, data: bytes, http_response: Any = None) -> None:
        self.status_code = status_code
        self.data = data
        self.http_response = http_response
