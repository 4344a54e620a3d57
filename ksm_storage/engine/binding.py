"""Binding: a one-time token becomes a client device.

The order is what makes it safe. Before the token is spent, the key pair and the client id are in
the storage and have been read back, and server, server key and CA are known to be usable. So a
bind that dies later can be resumed: the same token gives the same client id, the stored key pair
is the one that the server may have registered, and the server returns the application key again.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

from ..errors import DecryptionError, KsmStorageError, StorageError
from ..wire import endpoints
from ..wire.aes import KEY_BYTES, gcm_open
from ..wire.answers import SecretsAnswer
from ..wire.base64_forms import from_base64, to_base64
from ..wire.keys import load_public_point, new_private_key, private_key_to_text
from ..wire.requests import GetRequest
from . import late_errors as errors
from .answer import parse_answer
from .configkeys import ConfigKeys, DeviceKeyFields
from .device import (
    DEFAULT_KEY_ID,
    SERVER_KEYS,
    Device,
    DeviceStorage,
    check_public_key,
    is_key_id,
    unknown_server_key,
)
from .one_time_token import OneTimeToken, check_length, parse_token
from .storage import FileKeyValueStorage, InMemoryKeyValueStorage

_T = TypeVar("_T")
Ask = Callable[[str, Mapping[str, Any]], Awaitable[bytes]]
# The logger of the official package, which programs configure by this name.
_log = logging.getLogger("ksm")


def open_device(
    *,
    token: str | None,
    hostname: str | None,
    config: DeviceStorage | None,
    server_public_key: str | None,
    server_public_key_id: str | None,
    before_storing: Callable[[], None],
) -> Device:
    """Return the device; with a token, all that binding needs has been stored and checked.

    Args:
        before_storing: Called before anything of a token is stored; raises to prevent that.

    Raises:
        ClientSettingsError: No configuration, no token for an unbound one, or an invalid value.
        StorageError: The storage does not keep what is stored in it.
    """
    device = Device(_default_config() if config is None else config)
    given = _given_token(device, token, hostname)
    key = server_public_key or (given.server_public_key if given else None)
    key_id = server_public_key_id or (given.server_public_key_id if given else None)
    _check_server_key(device, key, key_id)
    if given is not None:
        before_storing()
        prepare(device, given)
    _finish_bind(device)
    if key:
        device.set(ConfigKeys.KEY_SERVER_PUBLIC_KEY, key)
    if key_id or device.get(ConfigKeys.KEY_SERVER_PUBLIC_KEY_ID) is None:
        device.set(ConfigKeys.KEY_SERVER_PUBLIC_KEY_ID, key_id or DEFAULT_KEY_ID)
    elif not key and not _is_known_key(device):
        _reset_key_id(device)
    return device


def _is_known_key(device: Device) -> bool:
    if device.get(ConfigKeys.KEY_SERVER_PUBLIC_KEY) is not None:
        return True
    return device.get(ConfigKeys.KEY_SERVER_PUBLIC_KEY_ID) in SERVER_KEYS


def _reset_key_id(device: Device) -> None:
    # An id that was removed from the table, or written by hand. The server names the key that it
    # wants, so a configuration that cannot be written works as well.
    with contextlib.suppress(KsmStorageError):
        device.set(ConfigKeys.KEY_SERVER_PUBLIC_KEY_ID, DEFAULT_KEY_ID)


def _default_config() -> DeviceStorage:
    text = os.environ.get("KSM_CONFIG")
    return InMemoryKeyValueStorage(text) if text else FileKeyValueStorage()


def _given_token(device: Device, token: str | None, hostname: str | None) -> OneTimeToken | None:
    # A bound device ignores a KSM_TOKEN that was left in the environment.
    text = token or (None if device.is_bound else os.environ.get("KSM_TOKEN"))
    place = hostname or os.environ.get("KSM_HOSTNAME") or device.get(ConfigKeys.KEY_HOSTNAME)
    if text:
        return parse_token(text, hostname=place)
    stored = None if device.is_bound else device.get(ConfigKeys.KEY_CLIENT_KEY)
    return parse_token(stored, hostname=place or "US") if stored else None


def _check_server_key(device: Device, key: str | None, key_id: str | None) -> None:
    if key_id and not is_key_id(key_id):
        raise errors.ClientSettingsError(
            f"{key_id[:64]!r} is not a valid id of a server public key",
            hint="use the id of the key on the server, such as '10'",
        )
    if key:
        check_public_key(key)
        return
    if not key_id or device.get(ConfigKeys.KEY_SERVER_PUBLIC_KEY) is not None:
        return
    if key_id not in SERVER_KEYS:
        raise unknown_server_key(key_id)


def _finish_bind(device: Device) -> None:
    # Read first: another process that binds stores the application key and then removes it.
    client_key = device.get(ConfigKeys.KEY_CLIENT_KEY)
    if device.is_bound:
        if client_key is not None:
            # Left behind by a crash after the application key was stored.
            device.delete(ConfigKeys.KEY_CLIENT_KEY)
    elif client_key is None:
        raise _no_token()


def _no_token() -> KsmStorageError:
    # The first words are the official package's: programs look for them.
    return errors.ClientSettingsError(
        "Cannot locate One Time Token: the configuration is not bound",
        hint="pass a one-time token, or the configuration of a bound client device, such as"
        " config=ksm_storage.open_storage(...)",
    )


def prepare(device: Device, token: OneTimeToken) -> None:
    """Store all that a bind needs, or find that this token has bound the device already.

    Raises:
        ClientSettingsError: Another token has bound the configuration.
        StorageError: The storage does not keep what is stored in it.
    """
    if _is_bound_by(device, token):
        _log.warning("the configuration is already bound with this one-time token")
        device.delete(ConfigKeys.KEY_CLIENT_KEY)
        return
    if not device.apply(lambda config: _claim(config, token)):
        _store_one_by_one(device, token)
    _read_back(device, token)


def _is_bound_by(device: Device, token: OneTimeToken) -> bool:
    if not device.is_bound:
        return False
    if device.get(ConfigKeys.KEY_CLIENT_ID) != token.client_id:
        raise errors.ClientSettingsError(
            "the storage is already initialized with a different token",
            hint="use a separate configuration for the new client device",
        )
    return True


def _claim(config: dict[str, str], token: OneTimeToken) -> None:
    # What another process has stored for this token since stays: it may have been registered.
    if config.get(ConfigKeys.KEY_APP_KEY.value):
        return
    is_ours = config.get(ConfigKeys.KEY_CLIENT_ID.value) == token.client_id
    is_in_service = bool(config.get(DeviceKeyFields.KEY_NAME.value))
    if not is_in_service and not (is_ours and config.get(ConfigKeys.KEY_PRIVATE_KEY.value)):
        config[ConfigKeys.KEY_PRIVATE_KEY.value] = private_key_to_text(new_private_key())
    config[ConfigKeys.KEY_CLIENT_ID.value] = token.client_id
    config[ConfigKeys.KEY_HOSTNAME.value] = token.host
    config[ConfigKeys.KEY_CLIENT_KEY.value] = token.client_key


def _store_one_by_one(device: Device, token: OneTimeToken) -> None:
    client_id = device.get(ConfigKeys.KEY_CLIENT_ID)
    if client_id != token.client_id or not device.has_key_pair:
        _store_key_pair(device, token.client_id)
    device.set(ConfigKeys.KEY_HOSTNAME, token.host)
    device.set(ConfigKeys.KEY_CLIENT_KEY, token.client_key)


def _store_key_pair(device: Device, client_id: str) -> None:
    # The id is removed first and stored last: a client id beside another one's key pair, which a
    # crash in between would leave, could neither bind nor be resumed.
    device.delete(ConfigKeys.KEY_CLIENT_ID)
    device.forget_key_pair()
    if not device.has_key_pair:
        device.set(ConfigKeys.KEY_PRIVATE_KEY, private_key_to_text(new_private_key()))
    device.set(ConfigKeys.KEY_CLIENT_ID, client_id)


def _read_back(device: Device, token: OneTimeToken) -> None:
    kept = (device.get(ConfigKeys.KEY_CLIENT_ID), device.get(ConfigKeys.KEY_CLIENT_KEY))
    if kept != (token.client_id, token.client_key) or not device.has_key_pair:
        # Checked last: another process that binds removes the token when it has done so.
        if _is_bound_by(device, token):
            return
        raise StorageError(
            "the storage does not keep what is stored in it",
            hint="the one-time token was not spent; use it with a writable storage",
        )
    # Read, and not used: an invalid private key is found before the token is spent. The request
    # that spends it is signed before it is sent, so that a key service that refuses costs none.
    device.signer()


class Work(Protocol):
    """Runs what reads or writes the storage, as the caller's transport allows."""

    async def __call__(self, call: Callable[[], _T], /) -> _T:
        """Return what the call returns."""


async def bind(device: Device, ask: Ask, *, work: Work) -> bool:
    """Redeem the stored token: register the public key, receive and store the application key.

    Return False where another process with the same configuration has done it first.

    Raises:
        VaultError: The server refused or did not answer; the hint says whether the bind can be
            resumed.
        KsmStorageError: The application key could not be stored; the bind can be resumed.
    """
    token = await work(lambda: _stored_token(device))
    if token is None:
        return False
    request = await work(lambda: _bind_request(device))
    try:
        answer = parse_answer(await ask(endpoints.GET_SECRET, request))
    except (
        # After these the token is useless, so nothing of it may block the next one.
        errors.ClientRevokedError,
        errors.ClientUnknownError,
        errors.TokenExpiredError,
        errors.TokenRedeemedError,
    ) as exc:
        # The server returns the application key until the device has it: another process does.
        if await work(lambda: device.is_bound):
            return False
        await work(lambda: _forget_token(device))
        raise exc
    except KsmStorageError as exc:
        _add_resume_hint(exc)
        raise
    if not answer.get("encryptedAppKey") and await work(lambda: device.is_bound):
        return False
    await work(lambda: _store_app_key(device, answer, token))
    return True


def _bind_request(device: Device) -> GetRequest:
    return {
        "clientVersion": endpoints.CLIENT_VERSION,
        "clientId": device.client_id,
        "publicKey": to_base64(device.signer().public_point),
    }


def _stored_token(device: Device) -> bytes | None:
    text = device.get(ConfigKeys.KEY_CLIENT_KEY)
    if text is None:
        # The application key is stored before the token is removed.
        if device.is_bound:
            return None
        raise _no_token()
    try:
        token = from_base64(text)
    except ValueError as exc:
        raise errors.ClientSettingsError(
            "the configuration's 'clientKey' is invalid",
            hint="bind the client device with a new One-Time Token",
        ) from exc
    check_length(token)
    return token


def _store_app_key(device: Device, answer: SecretsAnswer, token: bytes) -> None:
    encrypted = answer.get("encryptedAppKey")
    if not encrypted:
        raise errors.ServerAnswerError(
            "the server no longer returns the application key for this one-time token",
            hint="the bind cannot be resumed; revoke the client device and get a new token",
        )
    try:
        app_key = gcm_open(token, from_base64(encrypted))
    except (DecryptionError, ValueError) as exc:
        raise errors.ServerAnswerError("cannot decrypt the application key with the token") from exc
    if len(app_key) != KEY_BYTES:
        raise errors.ServerAnswerError(f"the application key is {len(app_key)} bytes, not 32")
    owner = answer.get("appOwnerPublicKey")
    if owner:
        device.set(ConfigKeys.KEY_OWNER_PUBLIC_KEY, to_base64(_checked_point(owner)))
    # The application key is stored before the token is removed: a crash in between leaves a
    # bound device and a spent token, which the next start removes.
    device.set(ConfigKeys.KEY_APP_KEY, to_base64(app_key))
    device.delete(ConfigKeys.KEY_CLIENT_KEY)


def _checked_point(text: str) -> bytes:
    try:
        point = from_base64(text)
        load_public_point(point)
    except ValueError as exc:
        raise errors.ServerAnswerError("the application owner's public key is invalid") from exc
    return point


def _forget_token(device: Device) -> None:
    # The official package refuses a new token as long as any client id is there.
    for key in (ConfigKeys.KEY_CLIENT_KEY, ConfigKeys.KEY_CLIENT_ID):
        device.delete(key)
    device.forget_key_pair()


def _add_resume_hint(exc: KsmStorageError) -> None:
    if isinstance(exc, errors.ServerRefusedError) and exc.hint:
        return
    resume = "the bind can be resumed with the same one-time token and configuration"
    exc.hint = f"{exc.hint}; {resume}" if exc.hint else resume
