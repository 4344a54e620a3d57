"""``ksm-storage device``: replace the client device of a sealed file with a new one."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

import click

from ..contract.key_wrapper import KeyUri
from ..engine import InMemoryKeyValueStorage, SecretsManager
from ..engine.one_time_token import check_length, parse_token
from ..envelope.opening import covers
from ..errors import KsmStorageError, SettingsError
from ..storage.device_key import RELAY_KEY, without_device_key
from ..storage.encrypted_storage import DEVICE_KEY, EncryptedStorage
from ..storage.next_device import NextDevice
from ..storage.open_policy import OpenPolicy, read_key
from ..wire.base64_forms import to_base64
from .commands import command, group
from .init import TOKEN_VARIABLE, device_key_fields, read_token
from .options import (
    Settings,
    connection_options,
    device_key_option,
    json_option,
    path_argument,
    profile_option,
    setting_option,
    timeout_option,
    trust_option,
)
from .output import echo_err, echo_json, printable
from .process import current_process
from .sealed_file import SealedFile


@group()
def device() -> None:
    """Change the client device of a sealed file."""


@command(short_help="Replace the client device with a new one.")
@path_argument
@device_key_option
@click.option("--stored-key", is_flag=True, help="Keep the new private key in PATH.")
@connection_options
@profile_option
@trust_option
@setting_option
@timeout_option
@json_option
def rotate(
    path: str,
    device_key: str | None,
    create_device_key: bool,
    stored_key: bool,
    ca_file: str | None,
    proxy: str | None,
    profile: str | None,
    trust: tuple[str, ...],
    settings: Settings,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Redeem a new one-time token, and replace the client device in PATH with the new one.

    The token must be of the same application. It is taken from $KSM_TOKEN if it is set, else
    prompted for on a terminal or read from standard input.

    The new device is bound and has read its secrets before the old one is replaced, with one save.
    If the rotation is interrupted or out of time, PATH works with one of the two; the same command
    resumes it, without a token. The old device stays valid on the server until you revoke it there.
    """
    if device_key is not None and stored_key:
        raise click.UsageError("--device-key and --stored-key cannot be combined")
    if create_device_key and device_key is None:
        raise click.UsageError("--create-device-key needs --device-key")
    storage = SealedFile(path, profile, trust, settings, timeout, None).open()
    policy = OpenPolicy.from_args(trust or None, None, settings).with_timeout(timeout, None)
    first = storage.read_storage()
    if not first.get("appKey") or not first.get("clientId"):
        raise SettingsError(f"{path!r} is not bound", hint="bind it: ksm-storage init PATH")
    rotation = _Rotation(storage, policy, ca_file, proxy)
    token = _new_token(rotation.second)
    process = current_process()
    if token is not None and parse_token(token, hostname="US").client_id == first["clientId"]:
        echo_err(f"note: {path} already holds the device of this token")
        _report(path, first, first, as_json=as_json)
        return
    if token is not None:
        process.stopped_now(
            f"{printable(path)} is unchanged and the token is not sent; run the same command with "
            "the same token again"
        )
        fields = (
            device_key_fields(device_key, create=create_device_key, policy=policy)
            if device_key is not None
            else _stored_key_fields(first, stored_key)
        )
        rotation.begin(token, fields)
    else:
        _require_same_key(rotation.second.read(), device_key, stored_key)
    process.stopped_now(
        f"{printable(path)} works with the old or the new device, and the token may be spent; to "
        "resume, run the same command without a token"
    )
    with process.waiting(f"the server {first.get('hostname')}"):
        rotation.bind()
        rotation.finish()
    process.stopped_now(f"{printable(path)} holds the new device, and the token is spent")
    _report(path, first, storage.read_storage(), as_json=as_json)


device.add_command(rotate)


class _Rotation:
    """Bind a second device in the same file, see it work, and swap."""

    def __init__(
        self, storage: EncryptedStorage, policy: OpenPolicy, ca_file: str | None, proxy: str | None
    ) -> None:
        self.second = NextDevice(storage, policy.open_kek)
        self._storage = storage
        self._ca_file = ca_file
        self._proxy = proxy

    def begin(self, token: str, key: Mapping[str, str]) -> None:
        """Store all that the bind needs with one save; nothing is sent."""
        rehearsal = without_device_key({"hostname": self._storage.get("hostname") or "US"})
        self._connect(InMemoryKeyValueStorage(rehearsal), token)
        check_length(parse_token(token, hostname="US").secret)
        with self._storage.batch():
            self.second.begin(key)
            self._connect(self.second, token)

    def bind(self) -> None:
        """Redeem the token if that is still to do; a rejected token ends the rotation."""
        try:
            self._connect(self.second, None).bind()
        except KsmStorageError:
            if not self.second.get("clientKey") and not self.second.get("appKey"):
                # The server has refused the token for good; the first device is as it was.
                self.second.discard()
            raise

    def finish(self) -> None:
        """Read with the second device, and replace the first one with it."""
        if self.second.get("appKey") != self._storage.get("appKey"):
            client_id = self.second.get("clientId")
            self.second.discard()
            raise SettingsError(
                "the one-time token belongs to another application; PATH is unchanged",
                hint=f"use a token of the same application, and revoke the device {client_id}",
            )
        for record in self._connect(self.second, None).get_secrets():
            # One is enough: the application key opens it.
            _ = record.title
            break
        self.second.take_over({RELAY_KEY: _relay_key(self._storage.read_storage())})

    def _connect(
        self, config: InMemoryKeyValueStorage | NextDevice, token: str | None
    ) -> SecretsManager:
        return SecretsManager(token, config=config, ca_file=self._ca_file, proxy_url=self._proxy)


def _new_token(second: NextDevice) -> str | None:
    """Return the token to begin with, or None to resume an interrupted rotation."""
    if not second.exists:
        return read_token()
    if os.environ.get(TOKEN_VARIABLE):
        token = read_token()
    elif sys.stdin.isatty() or not (text := sys.stdin.read().strip()):
        echo_err("note: resuming the interrupted rotation, without a new token")
        return None
    else:
        token = text
    given = parse_token(token, hostname="US")
    if given.client_id == second.get("clientId"):
        return None
    echo_err(
        "note: discarding the interrupted rotation; if the server lists its device "
        f"{second.get('clientId')}, revoke it"
    )
    return token


def _stored_key_fields(first: Mapping[str, str], stored_key: bool) -> Mapping[str, str]:
    """Return no fields, for a key in the file; a key in a service is left only if asked for."""
    if first.get(DEVICE_KEY) and not stored_key:
        raise SettingsError(
            f"the current device signs with {first[DEVICE_KEY]}",
            hint="name the new device's key with --device-key, or keep it in PATH: --stored-key",
        )
    return {}


def _require_same_key(second: Mapping[str, str], device_key: str | None, stored_key: bool) -> None:
    """Refuse to resume with another device key than the rotation was begun with."""
    begun = second.get(DEVICE_KEY)
    named = device_key is not None and (
        begun is None or not covers(read_key(device_key), KeyUri.parse(begun))
    )
    if named or (stored_key and begun is not None):
        raise SettingsError(
            f"the interrupted rotation uses {begun or 'a stored key'} as its device key",
            hint="resume it without options, or pipe in a new token to begin another one",
        )


def _relay_key(config: Mapping[str, str]) -> str:
    # Keeps the relay's clients: its state is sealed under a key that derives from the old device's.
    from ..relay.state import state_key

    return to_base64(state_key(config))


def _report(
    path: str, first: Mapping[str, str], second: Mapping[str, str], *, as_json: bool
) -> None:
    old, new = first["clientId"], second["clientId"]
    if as_json:
        key = second.get(DEVICE_KEY)
        echo_json({"path": path, "client_id": new, "old_client_id": old, "device_key": key})
    if old == new:
        return
    echo_err(f"{path} now holds the device {new}; the token is spent")
    echo_err(f"hint: revoke the old device on the server: {old}")
    echo_err("hint: in Keeper Commander: secrets-manager client remove --app APP --client ID")
