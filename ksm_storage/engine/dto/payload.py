"""What a call may ask for, and the objects of a custom post function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

TransactionType = Literal["general", "rotation"]
# What comes back is any object with ``status_code``, ``data`` and ``http_response``.
PostFunction = Callable[..., Any]


@dataclass(slots=True)
class QueryOptions:
    """Limit a query to records or folders by uid; ``request_links`` requests links too."""

    records_filter: Sequence[str] | None = None
    folders_filter: Sequence[str] | None = None
    request_links: bool | None = None


@dataclass(slots=True)
class CreateOptions:
    """Say where to create: a shared folder, and a subfolder of it if not at its top."""

    folder_uid: str
    subfolder_uid: str | None = None


@dataclass(slots=True)
class UpdateOptions:
    """Say how to save: as part of a transaction, and which files to detach."""

    transaction_type: TransactionType | None = None
    links_to_remove: Sequence[str] | str | None = None


class TransmissionKey:
    """Hold the key of one request; a caching function may replace ``key``.

    Attributes:
        key: The 32 bytes that decrypt the answer.
    """

    def __init__(
        self,
        publicKeyId: str,  # noqa: N803 - the official name
        key: bytes,
        encryptedKey: bytes,  # noqa: N803 - the official name
    ) -> None:
        self.publicKeyId = publicKeyId
        self.key = key
        self.encryptedKey = encryptedKey


class EncryptedPayload:
    """Hold the encrypted payload of one request and its signature."""

    def __init__(self, encrypted_payload: bytes, signature: bytes) -> None:
        self.encrypted_payload = encrypted_payload
        self.signature = signature


class KSMHttpResponse:
    """Hold the answer that a post function returns."""

    def __init__(self, status_code: int, data: bytes, http_response: Any = None) -> None:
        self.status_code = status_code
        self.data = data
        self.http_response = http_response
