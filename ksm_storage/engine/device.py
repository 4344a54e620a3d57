"""The client device's configuration, read and written through any key-value storage."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from cryptography.hazmat.primitives.asymmetric import ec

from ..errors import KsmStorageError, SettingsError
from ..wire.aes import KEY_BYTES
from ..wire.base64_forms import from_base64
from ..wire.identity import private_key_from_text
from . import server_keys
from .config_keys import ConfigKey, key_for
from .one_time_token import check_public_key
from .regions import HOSTS, host_of


class KeyValueStorage(Protocol):
    """What the engine asks of a storage; the official interface has five methods more."""

    def get(self, key: object, /) -> object:
        """Return the value, or None."""

    def set(self, key: object, value: str, /) -> object:
        """Store the value, or raise."""

    def delete(self, key: object, /) -> object:
        """Remove the value if it is there, or raise."""


@runtime_checkable
class AppliesChanges(Protocol):
    """What a storage may offer beyond that: a change of all it holds that nobody comes between."""

    def apply(self, change: Callable[[dict[str, str]], None], /) -> object:
        """Let the function change the configuration as it is, by its JSON names, and save it."""


class Device:
    """Give the values of one client device their types; nothing is kept but in the storage."""

    def __init__(self, storage: KeyValueStorage) -> None:
        self._storage = storage

    def get(self, key: ConfigKey) -> str | None:
        """Return a value, an empty one being none."""
        value = self._storage.get(key_for(self._storage, key))
        return str(value) if value else None

    def set(self, key: ConfigKey, value: str) -> None:
        """Store a value unless it is there already: a save may cost an fsync."""
        if self.get(key) != value:
            self._storage.set(key_for(self._storage, key), value)

    def delete(self, key: ConfigKey) -> None:
        """Remove a value if it is there."""
        if self.get(key) is not None:
            self._storage.delete(key_for(self._storage, key))

    def apply(self, change: Callable[[dict[str, str]], None]) -> bool:
        """Let the function change all values at once; False if the storage does not offer that."""
        if not isinstance(self._storage, AppliesChanges):
            return False
        self._storage.apply(change)
        return True

    @property
    def is_bound(self) -> bool:
        """Tell whether the application key has been received."""
        return self.get(ConfigKey.APP_KEY) is not None

    @property
    def host(self) -> str:
        """Return where the server is: KSM_HOSTNAME, then the configuration, then US."""
        given = os.environ.get("KSM_HOSTNAME") or self.get(ConfigKey.HOSTNAME)
        return host_of(given) if given else HOSTS["US"]

    @property
    def client_id(self) -> str:
        """Return the client id."""
        return self._require(ConfigKey.CLIENT_ID)

    def app_key(self) -> bytes:
        """Return the 32 bytes under which all that is shared with the application is opened."""
        try:
            key = from_base64(self._require(ConfigKey.APP_KEY))
        except ValueError as exc:
            raise _unusable(ConfigKey.APP_KEY) from exc
        if len(key) != KEY_BYTES:
            raise _unusable(ConfigKey.APP_KEY)
        return key

    def private_key(self) -> ec.EllipticCurvePrivateKey:
        """Return the key pair that signs."""
        try:
            return private_key_from_text(self._require(ConfigKey.PRIVATE_KEY))
        except ValueError as exc:
            raise _unusable(ConfigKey.PRIVATE_KEY) from exc

    def owner_public_key(self) -> bytes:
        """Return the point to which the keys of new records and files are sealed."""
        return check_public_key(self._require(ConfigKey.APP_OWNER_PUBLIC_KEY))

    def server_key(self, requested_id: str | None = None) -> tuple[str, bytes]:
        """Return id and point of the server public key to use.

        A configured key stands for every id, as its server is not in the table. An id that is
        not known here falls back to the default one: the server then names the one it wants.
        """
        key_id = requested_id or self.get(ConfigKey.SERVER_PUBLIC_KEY_ID) or server_keys.DEFAULT_ID
        configured = self.get(ConfigKey.SERVER_PUBLIC_KEY)
        if configured is not None:
            if not server_keys.is_key_id(key_id):
                raise _unusable(ConfigKey.SERVER_PUBLIC_KEY_ID)
            return key_id, check_public_key(configured)
        known = server_keys.known_key(key_id)
        if known is not None:
            return key_id, known
        default = server_keys.known_key(server_keys.DEFAULT_ID)
        if requested_id is not None or default is None:
            raise SettingsError(
                f"the server public key {key_id!r} is not known here",
                hint="give server_public_key and server_public_key_id",
            )
        return server_keys.DEFAULT_ID, default

    def _require(self, key: ConfigKey) -> str:
        value = self.get(key)
        if value is None:
            raise SettingsError(
                f"the configuration has no {key.value!r}",
                hint="bind the client device with a fresh one-time token",
            )
        return value


def _unusable(key: ConfigKey) -> KsmStorageError:
    return SettingsError(
        f"the configuration's {key.value!r} is damaged",
        hint="restore the configuration, or bind with a fresh one-time token",
    )
