"""Binding: a one-time token becomes a client device.

Order is what makes it safe. Before the token is spent, the key pair and the client id are in the
storage and have been read back, and server, server key and CA are known to be usable. So a bind
that dies later can be resumed: the same token gives the same client id, the stored key pair is
the one that the server may have registered, and a server hands the application key to it again.
"""

from __future__ import annotations

import logging

from ..errors import DecryptionError, KsmStorageError, SettingsError, StorageError
from ..wire import endpoints
from ..wire.aes import KEY_BYTES, gcm_open
from ..wire.answers import SecretsAnswer
from ..wire.base64_forms import from_base64, to_base64
from ..wire.ecies import load_public_point, public_point_of
from ..wire.identity import new_private_key, private_key_to_text, token_bytes
from ..wire.requests import GetRequest
from .answer_json import parse_answer
from .config_keys import ConfigKey
from .device import Device
from .errors import (
    ClientRevokedError,
    ClientUnknownError,
    ServerAnswerError,
    ServerRefusedError,
    TokenExpiredError,
    TokenRedeemedError,
)
from .one_time_token import OneTimeToken
from .requester import Requester

_log = logging.getLogger(__name__)

# After these the token is of no use, so nothing of it may stand in the way of the next one.
_FINAL = (ClientRevokedError, ClientUnknownError, TokenExpiredError, TokenRedeemedError)


def prepare(device: Device, token: OneTimeToken) -> None:
    """Store all that a bind needs, or find that the device is bound by this token already.

    Raises:
        SettingsError: The configuration is bound by another token.
        StorageError: The storage does not keep what it is given.
    """
    if _is_bound_by(device, token):
        _log.warning("the configuration is bound already with this one-time token")
        device.delete(ConfigKey.CLIENT_KEY)
        return
    if not device.apply(lambda config: _claim(config, token)):
        _store_one_by_one(device, token)
    _read_back(device, token)


def _is_bound_by(device: Device, token: OneTimeToken) -> bool:
    if not device.is_bound:
        return False
    if device.get(ConfigKey.CLIENT_ID) != token.client_id:
        raise SettingsError(
            "the configuration is bound already, with another one-time token",
            hint="give the new client device a configuration of its own",
        )
    return True


def _claim(config: dict[str, str], token: OneTimeToken) -> None:
    # What another process has stored for this token since stays: it may have been registered.
    if config.get(ConfigKey.APP_KEY.value):
        return
    is_ours = config.get(ConfigKey.CLIENT_ID.value) == token.client_id
    if not is_ours or not config.get(ConfigKey.PRIVATE_KEY.value):
        config[ConfigKey.PRIVATE_KEY.value] = private_key_to_text(new_private_key())
    config[ConfigKey.CLIENT_ID.value] = token.client_id
    config[ConfigKey.HOSTNAME.value] = token.host
    config[ConfigKey.CLIENT_KEY.value] = token.client_key


def _store_one_by_one(device: Device, token: OneTimeToken) -> None:
    client_id = device.get(ConfigKey.CLIENT_ID)
    if client_id != token.client_id or device.get(ConfigKey.PRIVATE_KEY) is None:
        _store_key_pair(device, token.client_id)
    device.set(ConfigKey.HOSTNAME, token.host)
    device.set(ConfigKey.CLIENT_KEY, token.client_key)


def _store_key_pair(device: Device, client_id: str) -> None:
    # The id goes first and comes back last: a client id beside another one's key pair, which a
    # crash in between would leave, could bind to nothing and be resumed by nobody.
    device.delete(ConfigKey.CLIENT_ID)
    device.set(ConfigKey.PRIVATE_KEY, private_key_to_text(new_private_key()))
    device.set(ConfigKey.CLIENT_ID, client_id)


def _read_back(device: Device, token: OneTimeToken) -> None:
    kept = (device.get(ConfigKey.CLIENT_ID), device.get(ConfigKey.CLIENT_KEY))
    if kept != (token.client_id, token.client_key) or device.get(ConfigKey.PRIVATE_KEY) is None:
        # Asked last: another process that binds removes the token when it has done so.
        if _is_bound_by(device, token):
            return
        raise StorageError(
            "the storage does not keep what it is given",
            hint="the one-time token is not spent; use it with a storage that can be written",
        )
    device.private_key()


def bind(device: Device, requester: Requester) -> bool:
    """Redeem the stored token: register the public key, receive and store the application key.

    Return False where another process with the same configuration has done it first.

    Raises:
        VaultError: The server refused or did not answer; whether the bind can be resumed is
            in the hint.
        KsmStorageError: The application key could not be stored; the bind can be resumed.
    """
    token = _stored_token(device)
    if token is None:
        return False
    request: GetRequest = {
        "clientVersion": endpoints.CLIENT_VERSION,
        "clientId": device.client_id,
        "publicKey": to_base64(public_point_of(device.private_key())),
    }
    try:
        answer = parse_answer(requester.ask(endpoints.GET_SECRET, request))
    except _FINAL as exc:
        # The server hands the application key out until the device has it: another process does.
        if device.is_bound:
            return False
        _forget_token(device)
        raise exc
    except KsmStorageError as exc:
        _say_how_to_resume(exc)
        raise
    if not answer.get("encryptedAppKey") and device.is_bound:
        return False
    _store_app_key(device, answer, token)
    return True


def _stored_token(device: Device) -> bytes | None:
    text = device.get(ConfigKey.CLIENT_KEY)
    if text is None:
        # The application key is stored before the token is removed.
        if device.is_bound:
            return None
        raise SettingsError(
            "the configuration is not bound and there is no one-time token",
            hint="give a one-time token, or the configuration of a bound client device",
        )
    try:
        return token_bytes(text)
    except ValueError as exc:
        raise SettingsError("the configuration's 'clientKey' is damaged") from exc


def _store_app_key(device: Device, answer: SecretsAnswer, token: bytes) -> None:
    sealed = answer.get("encryptedAppKey")
    if not sealed:
        raise ServerAnswerError(
            "the server no longer hands out the application key for this one-time token",
            hint="the bind cannot be resumed; revoke the client device and ask for a new token",
        )
    try:
        app_key = gcm_open(token, from_base64(sealed))
    except (DecryptionError, ValueError) as exc:
        raise ServerAnswerError("the application key does not open with the token") from exc
    if len(app_key) != KEY_BYTES:
        raise ServerAnswerError(f"the application key has {len(app_key)} bytes instead of 32")
    owner = answer.get("appOwnerPublicKey")
    if owner:
        device.set(ConfigKey.APP_OWNER_PUBLIC_KEY, to_base64(_checked_point(owner)))
    # The application key goes in before the token goes out: a crash in between leaves a bound
    # device and a spent token, which the next start removes.
    device.set(ConfigKey.APP_KEY, to_base64(app_key))
    device.delete(ConfigKey.CLIENT_KEY)


def _checked_point(text: str) -> bytes:
    try:
        point = from_base64(text)
        load_public_point(point)
    except ValueError as exc:
        raise ServerAnswerError("the application owner's public key is not one") from exc
    return point


def _forget_token(device: Device) -> None:
    # The official package refuses a new token as long as any client id is there.
    for key in (ConfigKey.CLIENT_KEY, ConfigKey.CLIENT_ID, ConfigKey.PRIVATE_KEY):
        device.delete(key)


def _say_how_to_resume(exc: KsmStorageError) -> None:
    if isinstance(exc, ServerRefusedError) and exc.hint:
        return
    resume = "the bind can be resumed with the same one-time token and configuration"
    exc.hint = f"{exc.hint}; {resume}" if exc.hint else resume
