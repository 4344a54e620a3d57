"""The client device's configuration, read and written through any key-value storage."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol, cast, runtime_checkable

from cryptography.hazmat.primitives.asymmetric import ec

from ..errors import KsmStorageError
from ..wire.aes import KEY_BYTES
from ..wire.base64_forms import from_base64
from ..wire.keys import load_public_point, private_key_from_text, public_point_of
from ..wire.signed_request import signer
from . import late_errors as errors
from .configkeys import ConfigKeys, DeviceKeyFields

HOSTS = {
    "US": "keepersecurity.com",
    "EU": "keepersecurity.eu",
    "AU": "keepersecurity.com.au",
    "CA": "keepersecurity.ca",
    "JP": "keepersecurity.jp",
    "US_GOV": "govcloud.keepersecurity.us",
    "GOV": "govcloud.keepersecurity.us",
    "IL5": "il5.keepersecurity.us",
}
_HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")

DEFAULT_KEY_ID = "10"
_KEY_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_FIRST = "BK9w6TZFxE6nFNbMfIpULCup2a8xc6w2tUTABjxny7yFmxW0dAEojwC6j6zb5nTlmb1dAx8nwo3qF7RPYGmloRM"
# The public points of Keeper's servers; the first seven ids name one and the same key.
SERVER_KEYS = {
    **{str(number): _FIRST for number in range(1, 8)},
    "8": "BKnhy0obglZJK-igwthNLdknoSXRrGB-mvFRzyb_L-DKKefWjYdFD2888qN1ROczz4n3keYSfKz9Koj90Z6w_tQ",
    "9": "BAsPQdCpLIGXdWNLdAwx-3J5lNqUtKbaOMV56hUj8VzxE2USLHuHHuKDeno0ymJt-acxWV1xPlBfNUShhRTR77g",
    "10": "BNYIh_Sv03nRZUUJveE8d2mxKLIDXv654UbshaItHrCJhd6cT7pdZ_XwbdyxAOCWMkBb9AZ4t1XRCsM8-wkEBRg",
    "11": "BA6uNfeYSvqagwu4TOY6wFK4JyU5C200vJna0lH4PJ-SzGVXej8l9dElyQ58_ljfPs5Rq6zVVXpdDe8A7Y3WRhk",
    "12": "BMjTIlXfohI8TDymsHxo0DqYysCy7yZGJ80WhgOBR4QUd6LBDA6-_318a-jCGW96zxXKMm8clDTKpE8w75KG-FY",
    "13": "BJBDU1P1H21IwIdT2brKkPqbQR0Zl0TIHf7Bz_OO9jaNgIwydMkxt4GpBmkYoprZ_DHUGOrno2faB7pmTR7HhuI",
    "14": "BJFF8j-dH7pDEw_U347w2CBM6xYM8Dk5fPPAktjib-opOqzvvbsER-WDHM4ONCSBf9O_obAHzCyygxmtpktDuiE",
    "15": "BDKyWBvLbyZ-jMueORl3JwJnnEpCiZdN7yUvT0vOyjwpPBCDf6zfL4RWzvSkhAAFnwOni_1tQSl8dfXHbXqXsQ8",
    "16": "BDXyZZnrl0tc2jdC5I61JjwkjK2kr7uet9tZjt8StTiJTAQQmnVOYBgbtP08PWDbecxnHghx3kJ8QXq1XE68y8c",
    "17": "BFX68cb97m9_sweGdOVavFM3j5ot6gveg6xT4BtGahfGhKib-zdZyO9pwvv1cBda9ahkSzo1BQ4NVXp9qRyqVGU",
    "18": "BNhngQqTT1bPKxGuB6FhbPTAeNVFl8PKGGSGo5W06xWIReutm6ix6JPivqnbvkydY-1uDQTr-5e6t70G01Bb5JA",
}


_OFFICIAL_PACKAGES = "keeper_secrets_manager_"
_OFFICIAL_KEYS = "keeper_secrets_manager_core.configkeys"


class DeviceStorage(Protocol):
    """What the engine needs of a storage; the official interface has five methods more."""

    def get(self, key: object, /) -> object:
        """Return the value, or None."""

    def set(self, key: object, value: str, /) -> object:
        """Store the value, or raise."""

    def delete(self, key: object, /) -> object:
        """Remove the value if it is there, or raise."""


@runtime_checkable
class AppliesChanges(Protocol):
    """What a storage may offer beyond that: an atomic change of all its values."""

    def apply(self, change: Callable[[dict[str, str]], None], /) -> object:
        """Let the function change the current configuration, by its JSON names, and save it."""


class DeviceSigner(Protocol):
    """Sign a device's requests; its private key may be in a key service."""

    @property
    def public_point(self) -> bytes:
        """The uncompressed point of the public key, which the server knows the device by."""

    def sign(self, message: bytes, /) -> bytes:
        """Return the ECDSA signature over SHA-256, in DER, verified under the public key."""


class KeepsDeviceKey(Protocol):
    """What a storage may offer beyond that: a device key that it does not hand out."""

    def device_signer(self) -> DeviceSigner | None:
        """Return the signer, or None if the private key is among the values."""


class Device:
    """Give the values of one client device their types; the storage alone keeps them."""

    def __init__(self, storage: DeviceStorage) -> None:
        self.storage = storage
        self._keeps_device_key: bool | None = None

    def get(self, key: ConfigKeys) -> str | None:
        """Return a value, None for an empty one."""
        value = self.storage.get(key_for(self.storage, key))
        # Some storages keep a number in the place of the key id.
        return str(value) if value else None

    def set(self, key: ConfigKeys, value: str) -> None:
        """Store a value unless it is there already: a save may cost an fsync."""
        if self.get(key) != value:
            self.storage.set(key_for(self.storage, key), value)

    def delete(self, key: ConfigKeys) -> None:
        """Remove a value if it is there."""
        if self.get(key) is not None:
            self.storage.delete(key_for(self.storage, key))

    def apply(self, change: Callable[[dict[str, str]], None]) -> bool:
        """Let the function change all values at once; False if the storage does not offer that."""
        if not isinstance(self.storage, AppliesChanges):
            return False
        self.storage.apply(change)
        return True

    @property
    def is_bound(self) -> bool:
        """Tell whether the application key has been received."""
        return self.get(ConfigKeys.KEY_APP_KEY) is not None

    @property
    def host(self) -> str:
        """Return where the server is: KSM_HOSTNAME, then the configuration, then US."""
        given = os.environ.get("KSM_HOSTNAME") or self.get(ConfigKeys.KEY_HOSTNAME)
        return host_of(given) if given else HOSTS["US"]

    @property
    def client_id(self) -> str:
        """Return the client id."""
        return self._require(ConfigKeys.KEY_CLIENT_ID)

    def app_key(self) -> bytes:
        """Return the 32 bytes that decrypt all that is shared with the application."""
        try:
            key = from_base64(self._require(ConfigKeys.KEY_APP_KEY))
        except ValueError as exc:
            raise _invalid(ConfigKeys.KEY_APP_KEY) from exc
        if len(key) != KEY_BYTES:
            raise _invalid(ConfigKeys.KEY_APP_KEY)
        return key

    def private_key(self) -> ec.EllipticCurvePrivateKey:
        """Return the key pair that is in the configuration."""
        # Not inside of the block: its error is a ValueError too.
        text = self._require(ConfigKeys.KEY_PRIVATE_KEY)
        try:
            return private_key_from_text(text)
        except ValueError as exc:
            raise _invalid(ConfigKeys.KEY_PRIVATE_KEY) from exc

    def signer(self) -> DeviceSigner:
        """Return the signer of this device's requests.

        Raises:
            ClientSettingsError: The configuration has no private key, and this storage cannot
                ask the key service that has it.
        """
        return self._signer_in_service() or _LocalSigner(self.private_key())

    @property
    def has_key_pair(self) -> bool:
        """Tell whether there is a private key, here or in a key service."""
        # In this order: a storage raises for a private key that is in a key service.
        return (
            self._signer_in_service() is not None
            or self.get(ConfigKeys.KEY_PRIVATE_KEY) is not None
        )

    def forget_key_pair(self) -> None:
        """Remove the private key; a key in a key service stays there, and so does its name here."""
        if self._signer_in_service() is None:
            self.delete(ConfigKeys.KEY_PRIVATE_KEY)

    def _signer_in_service(self) -> DeviceSigner | None:
        storage = self.storage
        # Not with isinstance: the check of a protocol takes as long as a signature.
        if self._keeps_device_key is None:
            self._keeps_device_key = callable(getattr(storage, "device_signer", None))
        if not self._keeps_device_key:
            return None
        return cast("KeepsDeviceKey", storage).device_signer()  # checked above

    def owner_public_key(self) -> bytes:
        """Return the point to which the keys of new records and files are encrypted."""
        return check_public_key(self._require(ConfigKeys.KEY_OWNER_PUBLIC_KEY))

    def server_key(self, requested_id: str | None = None) -> tuple[str, bytes]:
        """Return id and point of the server public key to use.

        A configured key stands for every id, as its server is not in the table. An unknown id
        falls back to the default one: the server then names the one it wants.
        """
        stored = self.get(ConfigKeys.KEY_SERVER_PUBLIC_KEY_ID)
        key_id = requested_id or stored or DEFAULT_KEY_ID
        configured = self.get(ConfigKeys.KEY_SERVER_PUBLIC_KEY)
        if configured is not None:
            if not is_key_id(key_id):
                raise _invalid(ConfigKeys.KEY_SERVER_PUBLIC_KEY_ID)
            return key_id, check_public_key(configured)
        if key_id not in SERVER_KEYS:
            if requested_id is not None:
                raise unknown_server_key(requested_id)
            key_id = DEFAULT_KEY_ID
        return key_id, from_base64(SERVER_KEYS[key_id])

    def _require(self, key: ConfigKeys) -> str:
        value = self.get(key)
        if value is None:
            if key is ConfigKeys.KEY_PRIVATE_KEY and self.storage.get(DeviceKeyFields.KEY_NAME):
                raise errors.ClientSettingsError(
                    "the private key of this device is in a key service, which this storage"
                    " cannot call",
                    hint="pass the encrypted file: config=ksm_storage.open_storage(PATH)",
                )
            raise errors.ClientSettingsError(
                f"the configuration has no {key.value!r}",
                hint="bind the client device with a new One-Time Token",
            )
        return value


class _LocalSigner:
    def __init__(self, private_key: ec.EllipticCurvePrivateKey) -> None:
        self._private_key = private_key
        self.sign = signer(private_key)

    @property
    def public_point(self) -> bytes:
        return public_point_of(self._private_key)


def key_for(storage: object, key: ConfigKeys) -> object:
    """Return the key in the form that this storage looks up.

    A member of :class:`ConfigKeys` is a string with a ``value``, which suits storages keyed by
    strings and storages that ask for ``key.value``. The official in-memory storage is keyed by
    the members of the official enum, and no object can have the hash of such a member and of
    its string at once. So a storage that inherits from an official class gets the official
    member: the class proves that the official module is loaded, and nothing is imported here.
    """
    kind: type = type(storage)
    if not _is_official(kind):
        return key
    official = sys.modules.get(_OFFICIAL_KEYS)
    return key if official is None else official.ConfigKeys(key.value)


@lru_cache
def _is_official(kind: type) -> bool:
    return any(each.__module__.startswith(_OFFICIAL_PACKAGES) for each in kind.__mro__)


def _invalid(key: ConfigKeys) -> KsmStorageError:
    return errors.ClientSettingsError(
        f"the configuration's {key.value!r} is invalid",
        hint="restore the configuration, or bind with a new one-time token",
    )


def unknown_server_key(key_id: str) -> KsmStorageError:
    """Return the error for a key id that is not in the table."""
    return errors.ClientSettingsError(
        f"unknown server public key {key_id!r}",
        hint="pass server_public_key with server_public_key_id",
    )


def is_key_id(text: str) -> bool:
    """Tell whether the text has the form of a key id, which goes into a header."""
    return _KEY_ID.fullmatch(text) is not None


def check_public_key(text: str) -> bytes:
    """Return the point of a server public key in base64; raise ClientSettingsError otherwise."""
    try:
        point = from_base64(text)
        load_public_point(point)
    except ValueError as exc:
        raise errors.ClientSettingsError(
            "the server public key is not a P-256 point in base64",
            hint="copy the whole key: 87 characters without padding",
        ) from exc
    return point


@lru_cache
def host_of(text: str) -> str:
    """Return ``host`` or ``host:port`` for a region code, a host or an https address.

    Raises:
        ClientSettingsError: Neither a code nor a host, or an address that is not https.
    """
    stripped = text.strip()
    if stripped.upper() in HOSTS:
        return HOSTS[stripped.upper()]
    if stripped.lower().startswith("http://"):
        raise errors.ClientSettingsError("the server must use https", hint="remove http://")
    # Without a pattern: to compile one takes as long as the rest of a small request.
    without_scheme = stripped[8:] if stripped[:8].lower() == "https://" else stripped
    authority = without_scheme.split("/", 1)[0]
    match = _HOST.fullmatch(authority)
    if match is None or int(match["port"] or 443) not in range(1, 65536):
        # The text is not repeated: a token in the place of the host would end in a log.
        raise errors.ClientSettingsError(
            "the hostname is neither a region code nor a valid host",
            hint=f"use one of {', '.join(HOSTS)}, or host or host:port",
        )
    return authority


def is_true(text: str | None) -> bool:
    """Tell whether an environment variable says yes."""
    return (text or "").strip().lower() in ("1", "true", "yes", "on", "y", "t")
