"""A device key in a key service: the configuration has only its name and public key."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..contract.key_wrapper import KeyUri
from ..errors import KsmStorageError, SettingsError, StorageError
from ..keys.kek import Kek
from .encrypted_storage import DEVICE_KEY

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

DEVICE_PUBLIC_KEY = "devicePublicKey"
RELAY_KEY = "relayKey"
RELAY_KEY_BYTES = 32

OpenKek = Callable[[KeyUri], Kek]


class DeviceSigner:
    """Sign for one device with one call to the key service that has its key.

    Attributes:
        key: The key, by the name that signs with exactly this key.
        public_point: The uncompressed point of its public key.
    """

    def __init__(self, key: KeyUri, public_point: bytes, open_kek: OpenKek) -> None:
        self.key = key
        self.public_point = public_point
        self._public_key = _load(public_point)
        self._open_kek = open_kek
        self._kek: Kek | None = None

    def __repr__(self) -> str:
        return f"<DeviceSigner {self.key}>"

    def is_of(self, other: DeviceSigner) -> bool:
        """Tell whether the other one signs for the same device."""
        return (self.key, self.public_point) == (other.key, other.public_point)

    def sign(self, message: bytes) -> bytes:
        """Return the DER signature over the SHA-256 digest, verified under the public key.

        Raises:
            PluginError: No usable plugin serves the key's provider, or it cannot sign.
            KeyStateError: The key is disabled, or it is another key than the device's.
            ProviderError: The key service rejected the call or failed.
        """
        from ..keys.signing import sign_digest

        kek = self._kek
        if kek is None:
            # Two threads may open it at once: nothing is called, and the first one is dropped.
            kek = self._kek = self._open_kek(self.key)
        digest = hashlib.sha256(message).digest()
        return sign_digest(kek, digest, public_key=self._public_key)


def signer_of(config: Mapping[str, str], open_kek: OpenKek) -> DeviceSigner | None:
    """Return the signer for the device of a configuration, or None if its private key is a value.

    Raises:
        StorageError: The name or the public key in the configuration is invalid.
    """
    name = config.get(DEVICE_KEY)
    if not name:
        return None
    from ..wire.base64_forms import from_base64

    try:
        return DeviceSigner(
            KeyUri.parse(name), from_base64(config.get(DEVICE_PUBLIC_KEY, "")), open_kek
        )
    except (SettingsError, ValueError) as exc:
        raise StorageError(
            f"the device key {name!r} in the configuration, or its public key, is invalid",
            hint="bind another device in its place: ksm-storage device rotate PATH",
        ) from exc


def create_device_key(key: KeyUri, open_kek: OpenKek) -> KeyUri:
    """Create a P-256 signing key in a key service, and return the URI to take it by.

    Raises:
        PluginError: No usable plugin serves the key's provider.
        SettingsError: The plugin cannot create the key.
        KeyStateError: It exists.
        ProviderError: The key service rejected the call or failed.
    """
    from ..keys.signing import create_signing_key

    with open_kek(key) as kek:
        return create_signing_key(kek)


def take_device_key(key: KeyUri, open_kek: OpenKek) -> dict[str, str]:
    """Return the fields of a configuration whose device signs with a key in a key service.

    The key makes one signature, which is verified: a key that cannot sign is found here.

    Raises:
        PluginError: No usable plugin serves the key's provider.
        SettingsError: The plugin cannot sign.
        KeyStateError: The key is disabled, or not a P-256 signing key.
        ProviderError: The key service rejected the call or failed.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from ..keys.signing import read_public_key, signing_key
    from ..wire.base64_forms import to_base64

    with open_kek(key) as kek:
        found = signing_key(kek)
    public_key = read_public_key(found.public_key)
    assert public_key is not None, "signing_key() checks it"
    point = public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    resolved = KeyUri(key.provider, found.key_id)
    DeviceSigner(resolved, point, open_kek).sign(b"ksm-storage: this key signs for a device")
    # The relay derives the key of its state from the private key, which nobody has here.
    relay_key = to_base64(os.urandom(RELAY_KEY_BYTES))
    return {DEVICE_KEY: str(resolved), DEVICE_PUBLIC_KEY: to_base64(point), RELAY_KEY: relay_key}


def without_device_key(config: Mapping[str, str]) -> dict[str, str]:
    """Return a configuration without the fields of a device key in a key service."""
    dropped = (DEVICE_KEY, DEVICE_PUBLIC_KEY)
    return {name: value for name, value in config.items() if name not in dropped}


def not_in_file(config: Mapping[str, str]) -> KsmStorageError:
    """Return the error for a program that wants the private key of such a configuration."""
    return SettingsError(
        f"the private key of this device is in a key service ({config[DEVICE_KEY]}), so only"
        " ksm_storage.engine can use the configuration",
        hint="serve other SDKs through the relay: ksm-storage relay client add PATH NAME",
    )


def _load(point: bytes) -> EllipticCurvePublicKey:
    from ..wire.keys import load_public_point

    return load_public_point(point)
