"""``ksm-storage init``: bind a client device into a file that is sealed from its first byte."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import click

from ..config.document import Document
from ..engine import InMemoryKeyValueStorage, SecretsManager
from ..engine.one_time_token import check_length, parse_token
from ..envelope.codec import looks_like_envelope
from ..errors import SettingsError
from ..files.reading import read_file, refuse_configuration, resolved
from ..storage.device_key import create_device_key, take_device_key, without_device_key
from ..storage.encrypted_storage import DEVICE_KEY, PRIVATE_KEY, EncryptedStorage
from ..storage.open_policy import OpenPolicy, read_key
from ..storage.profiles import (
    change_document,
    check_profile_name,
    create_document,
    read_document,
    with_new_profile,
)
from ..storage.sources import configured_path, open_storage
from .commands import command
from .options import (
    Settings,
    connection_options,
    context_option,
    device_key_option,
    json_option,
    key_option,
    profile_option,
    setting_option,
    timeout_option,
)
from .output import ask_secret, echo_err, echo_json, printable
from .process import current_process
from .protect import default_key

TOKEN_VARIABLE = "KSM_TOKEN"  # noqa: S105  # its name

_MAX_TOKEN_BYTES = 4096
_QUOTES = "\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb"


@dataclass(frozen=True, slots=True)
class _Server:
    """Hold what a client is made with, apart from its configuration."""

    token: str
    hostname: str | None
    key: str | None
    key_id: str | None
    ca_file: str | None
    proxy: str | None

    def connect(self, config: InMemoryKeyValueStorage | EncryptedStorage) -> SecretsManager:
        """Store what a bind needs, and send nothing yet."""
        return SecretsManager(
            self.token,
            self.hostname,
            config=config,
            server_public_key=self.key,
            server_public_key_id=self.key_id,
            ca_file=self.ca_file,
            proxy_url=self.proxy,
        )


_ASSIGNED = re.compile(r"(?:export\s+|set\s+|\$env:)?[A-Za-z_]\w*\s*=\s*(?=[^\s=])")


@command()
@click.argument("path", type=click.Path(readable=False), required=False)
@key_option
@device_key_option
@click.option("--hostname", metavar="HOST", help="The server: EU, US, ... or HOST[:PORT].")
@click.option("--server-key-id", metavar="ID", help="The id of a private server's public key.")
@click.option("--server-key", metavar="KEY", help="A private server's public key, in base64.")
@connection_options
@profile_option
@context_option
@setting_option
@timeout_option
@json_option
def init(
    path: str | None,
    keys: tuple[str, ...],
    device_key: str | None,
    create_device_key: bool,
    hostname: str | None,
    server_key_id: str | None,
    server_key: str | None,
    ca_file: str | None,
    proxy: str | None,
    profile: str | None,
    context: Mapping[str, str] | None,
    settings: Settings,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Redeem a one-time token, and keep the new client device sealed in PATH.

    The token is taken from $KSM_TOKEN if it is set, else prompted for on a terminal or read from
    standard input. It is never an argument, because other users of the machine could see it.

    PATH defaults to $KSM_CONFIG_FILE, else client-config.json. Everything that can fail is tried
    before the token is spent. If the bind is interrupted or out of time, the same command with the
    same token resumes it.

    With --device-key, the device signs with a P-256 key that stays in a key service, and PATH
    holds the key's name and public key. Only the relay and ksm_storage.engine can use such a file.
    """
    if create_device_key and device_key is None:
        raise click.UsageError("--create-device-key needs --device-key")
    if profile is not None:
        check_profile_name(profile)
    place, process = path or configured_path(), current_process()
    # First: what is a token looks like a configuration to the other.
    _refuse_token(place)
    refuse_configuration(place)
    token = read_token()
    process.stopped_now(f"this run has not sent the token; {_AGAIN}")
    trust = OpenPolicy.from_args(keys or None, context, settings).with_timeout(timeout, None)
    begun = _begun(place, trust, profile)
    if begun is not None:
        process.stopped_now(_resume(place))
    server = _Server(token, hostname, server_key, server_key_id, ca_file, proxy)
    # A rehearsal in memory: a mistake in the token or the options leaves no file behind.
    begun_with = begun.read_storage() if begun else {}
    server.connect(InMemoryKeyValueStorage(without_device_key(begun_with)))
    check_length(parse_token(token, hostname="US").secret)
    fields = _device_key_fields(device_key, create_device_key, begun_with, trust)
    storage = begun or _new(place, trust, profile)
    # One save for all that a bind needs; it is done before the first request.
    with storage.batch():
        storage.apply(lambda config: config.update(fields))
        manager = server.connect(storage)
    process.stopped_now(_resume(place))
    with process.waiting(f"the server {storage.get('hostname')}"):
        manager.bind()
    process.stopped_now(f"{printable(place)} is bound and the token is spent")
    _report(place, storage, profile, as_json=as_json)


_AGAIN = "run the same command with the same token again"


def _resume(path: str) -> str:
    return (
        f"the token may be spent, and {printable(path)} has all that the bind needs: to resume it, "
        f"{_AGAIN}"
    )


def _refuse_token(path: str) -> None:
    # "init TOKEN" would name a file after the secret, and show it in each message.
    if os.path.lexists(path):
        return
    try:
        check_length(parse_token(_unquoted(path), hostname="US").secret)
    except SettingsError:
        return
    raise SettingsError(
        "PATH is a one-time token (not shown)",
        hint=f"pass the file's path; the token comes from a prompt, a pipe or ${TOKEN_VARIABLE}",
    )


def read_token() -> str:
    """Return the one-time token from the environment, a prompt or standard input.

    Raises:
        SettingsError: Standard input holds something else.
    """
    if os.environ.get(TOKEN_VARIABLE):
        return _unquoted(os.environ[TOKEN_VARIABLE])
    if sys.stdin.isatty():
        return _unquoted(ask_secret("one-time token"))
    read = sys.stdin.buffer.read(_MAX_TOKEN_BYTES + 1)
    text = _unquoted(read.decode("utf-8", errors="replace"))
    if not text or len(read) > _MAX_TOKEN_BYTES or not text.isascii():
        raise SettingsError(
            "standard input is not a one-time token", hint="pipe in the token only: US:TOKEN"
        )
    return text


def _unquoted(token: str) -> str:
    # Tokens are pasted from mails, chats and files of variables, quotes and all.
    return _ASSIGNED.sub("", token.strip()).strip(_QUOTES).strip()


def _begun(path: str, trust: OpenPolicy, profile: str | None) -> EncryptedStorage | None:
    """Return the storage of an interrupted bind, None if there is nothing to resume."""
    if not os.path.lexists(path):
        return None
    if not looks_like_envelope(read_file(resolved(path)).content):
        # Without keys this raises and says what the file is; with keys it would protect it.
        return open_storage(path)
    if profile is not None and profile not in read_document(path, trust).profiles:
        return None
    storage = _opened(path, trust, profile)
    if storage.contains("appKey"):
        where = f"profile {profile!r} of {path!r}" if profile else repr(path)
        raise SettingsError(
            f"{where} is already bound",
            hint="choose another file, or a new profile with --profile; the token is not spent",
        )
    return storage


def _device_key_fields(
    text: str | None, create: bool, begun: Mapping[str, str], policy: OpenPolicy
) -> Mapping[str, str]:
    """Return the fields that replace the private key; the key in the service has signed once."""
    if text is None:
        return {}
    if begun.get(DEVICE_KEY) or begun.get(PRIVATE_KEY):
        # The server may know its public key already.
        raise SettingsError(
            "the interrupted bind already has a device key",
            hint="resume it without --device-key; to change the key later: device rotate PATH",
        )
    return device_key_fields(text, create=create, policy=policy)


def device_key_fields(text: str, *, create: bool, policy: OpenPolicy) -> Mapping[str, str]:
    """Return the fields of a device key in a key service; the key has signed once.

    Raises:
        KsmStorageError: The key cannot be created, or cannot sign.
    """
    key = read_key(text)
    if create:
        key = create_device_key(key, policy.open_kek)
        current_process().stopped_now(
            f"the token is not spent, and the device key {key} exists: {_AGAIN}, without "
            "--create-device-key"
        )
        # At once: what follows may fail, and the key stays.
        echo_err(f"created the device key {key}")
    return take_device_key(key, policy.open_kek)


def _new(path: str, trust: OpenPolicy, profile: str | None) -> EncryptedStorage:
    """Wrap the data key, and prove that the place can be written, before anything is sent."""
    if not os.path.lexists(path) and trust.keys is None:
        trust = OpenPolicy.from_args([default_key()], trust.context, trust.arguments)
    if profile is not None:
        _make_profile(path, trust, profile)
    return _opened(path, trust, profile)


def _opened(path: str, trust: OpenPolicy, profile: str | None) -> EncryptedStorage:
    timeouts = trust.timeouts
    return open_storage(
        path,
        keys=trust.keys,
        context=trust.context,
        settings=trust.arguments,
        profile=profile,
        timeout=None if timeouts is None else timeouts.timeout_seconds,
    )


def _make_profile(path: str, trust: OpenPolicy, profile: str) -> None:
    if os.path.lexists(path):
        change_document(path, trust, lambda document: with_new_profile(document, profile, {}))
        return
    create_document(path, trust, with_new_profile(Document({}), profile, {}))


def _report(path: str, storage: EncryptedStorage, profile: str | None, *, as_json: bool) -> None:
    hostname = storage.get("hostname")
    if as_json:
        echo_json({"path": path, "profile": profile, "hostname": hostname})
        return
    where = f"profile {profile} of {path}" if profile else path
    echo_err(f"bound {where} to {hostname}; the token is now spent")
