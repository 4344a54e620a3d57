"""A second device in the same file, bound beside the first one until it replaces it.

Each step is one save of the file. Up to the last one, the configuration is that of the first
device, which works; the last one makes it that of the second, which has read its secrets by then.
So a rotation can be interrupted anywhere, and resumed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from ..config.fields import FIELDS
from ..errors import SettingsError, StorageError
from .device_key import DeviceSigner, OpenKek, signer_of
from .encrypted_storage import Config, EncryptedStorage

NEXT_DEVICE = "nextDevice"

# How the server is reached, which the second device begins with.
_SERVER = ("hostname", "serverPublicKey", "serverPublicKeyId")


class NextDevice:
    """Offer the storage of the second device to the engine; the file keeps it.

    Args:
        storage: The storage of the first device.
        open_kek: Opens the key service that has the second device's key.
    """

    def __init__(self, storage: EncryptedStorage, open_kek: OpenKek) -> None:
        self._storage = storage
        self._open_kek = open_kek
        self._signer: DeviceSigner | None = None

    @property
    def exists(self) -> bool:
        """Tell whether a rotation has begun and not ended."""
        return self._storage.contains(NEXT_DEVICE)

    def begin(self, fields: Mapping[str, str]) -> None:
        """Make a second device that is not bound yet, in memory or over an interrupted rotation.

        Call it inside of a batch of the storage, with what the bind stores: one save for both.
        """
        first = self._storage.read_storage()
        server = {name: first[name] for name in _SERVER if name in first}
        text = json.dumps({**server, **fields})
        self._storage.apply(lambda config: config.update({NEXT_DEVICE: text}))

    def discard(self) -> None:
        """Forget the second device."""
        self._storage.delete(NEXT_DEVICE)

    def take_over(self, more: Mapping[str, str]) -> None:
        """Replace the first device with the second one, with one save.

        Args:
            more: Fields that do not change with the device; they replace the second one's.

        Raises:
            SettingsError: Another process has done it, or given it up.
        """
        expected = self.read()

        def swap(config: Config) -> None:
            if config.get(NEXT_DEVICE) is None or json.loads(config[NEXT_DEVICE]) != expected:
                raise SettingsError(
                    "another process has changed this device's rotation",
                    hint="run 'ksm-storage check PATH'; rotate again if it shows the old device",
                )
            for name in (NEXT_DEVICE, *FIELDS):
                if name != "url":
                    config.pop(name, None)
            # What the caller adds counts: a second device begins with a relay key of its own.
            config.update({**expected, **more})

        self._storage.apply(swap)

    def read(self) -> dict[str, str]:
        """Return the configuration of the second device, empty if no rotation has begun."""
        text = self._storage.get(NEXT_DEVICE)
        try:
            found = {} if text is None else json.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise StorageError(
                f"the configuration's {NEXT_DEVICE!r} is invalid",
                hint=f"remove it: ksm-storage delete PATH {NEXT_DEVICE}",
            )
        return found

    def get(self, key: object, /) -> object:
        """Return a value, or None."""
        return self.read().get(str(key))

    def set(self, key: object, value: str, /) -> object:
        """Set a value and save the file."""
        return self.apply(lambda config: config.update({str(key): value}))

    def delete(self, key: object, /) -> object:
        """Remove a value if there is one, and save the file."""
        return self.apply(lambda config: _drop(config, str(key)))

    def apply(self, change: Callable[[Config], None], /) -> object:
        """Let a function change the configuration of the second device, and save the file."""

        def changed(config: Config) -> None:
            if NEXT_DEVICE not in config:
                raise SettingsError(
                    "another process has finished or discarded this rotation",
                    hint="run 'ksm-storage check PATH'; rotate again if it shows the old device",
                )
            second = json.loads(config[NEXT_DEVICE])
            change(second)
            config[NEXT_DEVICE] = json.dumps(second)

        return self._storage.apply(changed)

    def device_signer(self) -> DeviceSigner | None:
        """Return the second device's signer, or None if its private key is among the values."""
        if self._signer is None:
            self._signer = signer_of(self.read(), self._open_kek)
        return self._signer


def _drop(config: Config, name: str) -> None:
    config.pop(name, None)
