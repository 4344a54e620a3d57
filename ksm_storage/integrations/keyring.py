"""A backend for keyring: passwords in a sealed file, under a key in any key service."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING

from keyring.backend import KeyringBackend
from keyring.compat import properties
from keyring.credentials import Credential, SimpleCredential
from keyring.errors import InitError, KeyringError, PasswordDeleteError

if TYPE_CHECKING:
    from ..errors import KsmStorageError
    from ..storage.encrypted_storage import EncryptedStorage

FILE_VARIABLE = "KEYRING_PROPERTY_SEALED_FILE"
KEYS_VARIABLE = "KEYRING_PROPERTY_SEALED_KEYS"
# Above the chain of all backends (10), which would look for a password elsewhere too.
_PRIORITY = 11.0
# Entries of this kind only: the file may hold others.
_PREFIX = "keyring:"


class SealedKeyring(KeyringBackend):
    """Keep passwords in a sealed file of their own.

    Attributes:
        sealed_file: The file.
        sealed_keys: The keys for a file that does not exist yet, as key URIs separated by spaces;
            for an existing one the only keys that are trusted.
    """

    sealed_file: str | None = None
    sealed_keys: str | None = None

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # it has no annotations
        self._lock = threading.Lock()
        self._opened: tuple[tuple[str | None, str | None], EncryptedStorage] | None = None

    @property
    def name(self) -> str:
        """Return what ``keyring --list-backends`` shows."""
        return "ksm-storage sealed file"

    @properties.classproperty
    def priority(cls) -> float:  # noqa: N805 - of the class, as keyring wants it
        """Return a priority above the system's backends; raise RuntimeError if no file is named."""
        if not os.environ.get(FILE_VARIABLE):
            raise RuntimeError(f"{FILE_VARIABLE} is not set")
        return _PRIORITY

    def get_password(self, service: str, username: str) -> str | None:
        """Return the password, or None."""
        try:
            return self._storage().get(_entry(service, username))
        except _base_error() as exc:
            raise _translated(exc) from exc

    def set_password(self, service: str, username: str, password: str) -> None:
        """Store a password; the file is saved when this returns."""
        self._validate_username(username)
        try:
            self._storage().set(_entry(service, username), password)
        except _base_error() as exc:
            raise _translated(exc) from exc

    def delete_password(self, service: str, username: str) -> None:
        """Remove a password; raise PasswordDeleteError if it does not exist."""
        entry, found = _entry(service, username), False

        def drop(config: dict[str, str]) -> None:
            nonlocal found
            found = config.pop(entry, None) is not None

        try:
            self._storage().apply(drop)
        except _base_error() as exc:
            raise _translated(exc) from exc
        if not found:
            raise PasswordDeleteError("no such password")

    def get_credential(self, service: str, username: str | None) -> Credential | None:
        """Return the user's password, or any user's if none is named."""
        if username is not None:
            password = self.get_password(service, username)
            return None if password is None else SimpleCredential(username, password)
        try:
            config = self._storage().read_storage()
        except _base_error() as exc:
            raise _translated(exc) from exc
        for entry, password in sorted(config.items()):
            owner = _owner(entry, service)
            if owner is not None:
                return SimpleCredential(owner, password)
        return None

    def _storage(self) -> EncryptedStorage:
        from ..storage.sources import open_storage

        if not self.sealed_file:
            raise InitError(f"no file: set {FILE_VARIABLE}, and {KEYS_VARIABLE} for a new one")
        place = (self.sealed_file, self.sealed_keys)
        with self._lock:
            if self._opened is None or self._opened[0] != place:
                keys = self.sealed_keys.split() if self.sealed_keys else None
                self._opened = (place, open_storage(self.sealed_file, keys=keys))
            return self._opened[1]


def _entry(service: str, username: str) -> str:
    return _PREFIX + json.dumps([service, username])


def _owner(entry: str, service: str) -> str | None:
    if not entry.startswith(_PREFIX):
        return None
    try:
        found, username = json.loads(entry.removeprefix(_PREFIX))
    # Somebody else's entry behind the same prefix.
    except (ValueError, TypeError):
        return None
    return str(username) if found == service else None


def _base_error() -> type[KsmStorageError]:
    from ..errors import KsmStorageError

    return KsmStorageError


def _translated(exc: KsmStorageError) -> KeyringError:
    return KeyringError(f"{exc.message} ({exc.hint})" if exc.hint else exc.message)
