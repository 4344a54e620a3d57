"""A key service in this process that counts its calls, and plugins that reach it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ksm_storage.contract.key_wrapper import KeyUri
from ksm_storage.keys.kek import Kek
from ksm_storage.plugin import (
    Aad,
    DecryptionError,
    KeyWrapper,
    KsmStorageError,
    Option,
    Settings,
    WrappedDek,
    hookimpl,
)


class ServiceFailureError(Exception):
    """Stand for the exception of a client library."""


@dataclass
class KeyService:
    """Hold the KEKs that were asked for and record each call.

    Attributes:
        calls: What was asked, in order: operation and key id.
        aads: The AAD of each call.
        opened: Every key id and the settings with which a key wrapper was opened.
        failing: key id -> the error that its calls raise, with a cause as a plugin gives it.
        answers: key id -> what unwrap returns instead of the DEK.
    """

    keks: dict[str, bytes] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    aads: list[Aad] = field(default_factory=list)
    opened: list[tuple[str, Settings]] = field(default_factory=list)
    failing: dict[str, KsmStorageError] = field(default_factory=dict)
    answers: dict[str, bytes] = field(default_factory=dict)

    def kek(self, uri: str) -> Kek:
        """Return the KEK for sealing; for opening, it comes through its plugin."""
        key = KeyUri.parse(uri)
        return Kek(key, ServiceKek(self, key.key_id))

    def called(self, operation: str, key_id: str, aad: Aad) -> AESGCM:
        """Record a call and return the cipher of the KEK."""
        self.calls.append((operation, key_id))
        self.aads.append(aad)
        if key_id in self.failing:
            raise self.failing[key_id] from ServiceFailureError("the service's own words")
        return AESGCM(self.keks.setdefault(key_id, os.urandom(32)))


@dataclass
class ServiceKek:
    """Wrap and unwrap with one KEK of the service."""

    service: KeyService
    key_id: str
    binds_aad: bool = True

    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        cipher = self.service.called("wrap", self.key_id, aad)
        nonce = os.urandom(12)
        return WrappedDek(self.key_id, "TEST", nonce + cipher.encrypt(nonce, dek, bytes(aad)))

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        cipher = self.service.called("unwrap", self.key_id, aad)
        if self.key_id in self.service.answers:
            return self.service.answers[self.key_id]
        try:
            return cipher.decrypt(wrapped.ciphertext[:12], wrapped.ciphertext[12:], bytes(aad))
        except InvalidTag as exc:
            raise DecryptionError("the wrapped DEK does not decrypt") from exc

    def close(self) -> None:
        pass


class ServicePlugin:
    """Offer the service's KEKs as a plugin does; an alias covers the key that it stands for."""

    def __init__(self, service: KeyService) -> None:
        self._service = service

    @hookimpl
    def key_wrapper_options(self) -> Sequence[Option]:
        return [Option("endpoint", "Where the service is.")]

    @hookimpl
    def open_key_wrapper(self, key_id: str, settings: Settings) -> KeyWrapper:
        self._service.opened.append((key_id, settings))
        return ServiceKek(self._service, key_id.removeprefix("alias/"))

    @hookimpl
    def key_covers(self, trusted: str, key_id: str) -> bool:
        return trusted == f"alias/{key_id}"
