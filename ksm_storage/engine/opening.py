"""From the caller's arguments to a device that is bound, or ready to be, before any request."""

from __future__ import annotations

import os

from ..errors import SettingsError
from . import binding, server_keys
from .config_keys import ConfigKey
from .device import Device, KeyValueStorage
from .memory_config import config_from_text
from .one_time_token import OneTimeToken, check_public_key, parse_token


def open_device(
    *,
    token: str | None,
    hostname: str | None,
    config: KeyValueStorage | None,
    server_public_key: str | None,
    server_public_key_id: str | None,
) -> Device:
    """Return the device; with a token, everything that binding it needs is stored and checked.

    Raises:
        SettingsError: No configuration, no token for an unbound one, or a value that is unusable.
        StorageError: The storage does not keep what it is given.
    """
    device = Device(_chosen_config(config))
    given = _given_token(device, token, hostname)
    key = server_public_key or (given.server_public_key if given else None)
    key_id = server_public_key_id or (given.server_public_key_id if given else None)
    _check_server_key(device, key, key_id)
    if given is not None:
        binding.prepare(device, given)
    if key:
        device.set(ConfigKey.SERVER_PUBLIC_KEY, key)
    if key_id or device.get(ConfigKey.SERVER_PUBLIC_KEY_ID) is None:
        device.set(ConfigKey.SERVER_PUBLIC_KEY_ID, key_id or server_keys.DEFAULT_ID)
    _check_usable(device)
    return device


def _chosen_config(config: KeyValueStorage | None) -> KeyValueStorage:
    if config is not None:
        return config
    text = os.environ.get("KSM_CONFIG")
    if not text:
        raise SettingsError(
            "there is no configuration",
            hint="give config=ksm_storage.open_storage(...), or set KSM_CONFIG",
        )
    return config_from_text(text)


def _given_token(device: Device, token: str | None, hostname: str | None) -> OneTimeToken | None:
    # A KSM_TOKEN that is left in the environment of a bound device is of no interest.
    text = token or (None if device.is_bound else os.environ.get("KSM_TOKEN"))
    place = hostname or os.environ.get("KSM_HOSTNAME") or device.get(ConfigKey.HOSTNAME)
    if text:
        return parse_token(text, hostname=place)
    stored = None if device.is_bound else device.get(ConfigKey.CLIENT_KEY)
    return parse_token(stored, hostname=place or "US") if stored else None


def _check_server_key(device: Device, key: str | None, key_id: str | None) -> None:
    if key_id and not server_keys.is_key_id(key_id):
        raise SettingsError(
            f"{key_id[:64]!r} is no id of a server public key",
            hint="it is what the server calls the key, such as '10'",
        )
    if key:
        check_public_key(key)
        return
    if not key_id or device.get(ConfigKey.SERVER_PUBLIC_KEY) is not None:
        return
    if server_keys.known_key(key_id) is None:
        raise SettingsError(
            f"the server public key {key_id!r} is not known here",
            hint="give server_public_key with it",
        )


def _check_usable(device: Device) -> None:
    # Read first: another process that binds stores the application key and then removes it.
    client_key = device.get(ConfigKey.CLIENT_KEY)
    if device.is_bound:
        # Left behind by a crash after the application key was stored.
        device.delete(ConfigKey.CLIENT_KEY)
        device.app_key()
    elif client_key is None:
        raise SettingsError(
            "the configuration is not bound and there is no one-time token",
            hint="give a one-time token, or the configuration of a bound client device",
        )
    _ = device.host, device.client_id
    device.private_key()
    device.server_key()
