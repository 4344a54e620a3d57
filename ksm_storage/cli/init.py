"""``ksm-storage init``: bind a client device into a file that is sealed from its first byte."""

from __future__ import annotations

import os
from collections.abc import Mapping

import click

from ..config.document import Document
from ..engine import InMemoryKeyValueStorage, SecretsManager
from ..envelope.codec import looks_like_envelope
from ..errors import SettingsError
from ..storage.encrypted import EncryptedStorage
from ..storage.open_policy import OpenPolicy
from ..storage.opening import open_storage
from ..storage.profiles import (
    change_document,
    check_profile_name,
    create_document,
    read_document,
    with_new_profile,
)
from ..storage.reading import read_file, resolved
from ..storage.sources import configured_path, refuse_configuration
from .init_token import PROMPT, read_token
from .options import context_option, json_option, key_option, profile_option, setting_option
from .output import data_as_json, say
from .protect import default_key
from .server_options import connection_options


@click.command()
@click.argument("token", default=PROMPT)
@click.argument("path", type=click.Path(), required=False)
@key_option
@click.option("--hostname", metavar="HOST", help="The server: EU, US, ... or HOST[:PORT].")
@click.option("--server-key-id", metavar="ID", help="The id of a private server's public key.")
@click.option("--server-key", metavar="KEY", help="A private server's public key, in base64.")
@connection_options
@profile_option
@context_option
@setting_option
@json_option
def init(
    token: str,
    path: str | None,
    keys: tuple[str, ...],
    hostname: str | None,
    server_key_id: str | None,
    server_key: str | None,
    ca_file: str | None,
    proxy: str | None,
    profile: str | None,
    context: Mapping[str, str] | None,
    settings: Mapping[str, Mapping[str, object]],
    as_json: bool,
) -> None:
    """Redeem the one-time TOKEN and keep the new client device sealed in PATH.

    Without TOKEN, or with "-", it is asked for at a terminal, else read from standard input. An
    argument can be seen by every user of this machine, and stays in the shell's history.

    All that can fail is tried before the token is spent. A bind that died half-way is resumed by
    the same command with the same token.
    """
    if profile is not None:
        check_profile_name(profile)
    place = path or configured_path()
    refuse_configuration(place)
    secret = read_token(token)
    trust = OpenPolicy.from_args(keys or None, context, settings)
    begun = _begun(place, trust, profile)
    server = _Server(secret, hostname, server_key, server_key_id, ca_file, proxy)
    # A rehearsal in memory: what is wrong with the token or the options leaves no file behind.
    server.connect(InMemoryKeyValueStorage(begun.read_storage() if begun else None))
    storage = begun or _new(place, trust, profile)
    _bind(server, storage)
    _report(place, storage, profile, as_json=as_json)


class _Server:
    """Hold what a client is made with, apart from its configuration."""

    def __init__(
        self,
        token: str,
        hostname: str | None,
        server_key: str | None,
        server_key_id: str | None,
        ca_file: str | None,
        proxy: str | None,
    ) -> None:
        self._token, self._hostname = token, hostname
        self._key, self._key_id = server_key, server_key_id
        self._ca_file, self._proxy = ca_file, proxy

    def connect(self, config: InMemoryKeyValueStorage | EncryptedStorage) -> SecretsManager:
        """Store what a bind needs, and send nothing yet."""
        return SecretsManager(
            self._token,
            self._hostname,
            config=config,
            server_public_key=self._key,
            server_public_key_id=self._key_id,
            ca_file=self._ca_file,
            proxy_url=self._proxy,
        )


def _begun(path: str, trust: OpenPolicy, profile: str | None) -> EncryptedStorage | None:
    """Return the storage of an earlier try, None where there is nothing to resume."""
    if not os.path.lexists(path):
        return None
    if not looks_like_envelope(read_file(resolved(path)).content):
        # Without keys this raises and says what the file is; with keys it would protect it.
        return open_storage(path)
    if profile is not None and profile not in read_document(path, trust).profiles:
        return None
    storage = open_storage(
        path,
        keys=trust.keys,
        context=trust.context,
        settings=trust.arguments,
        profile=profile,
    )
    if storage.contains("appKey"):
        where = f"profile {profile!r} of {path!r}" if profile else repr(path)
        raise SettingsError(
            f"{where} is bound already",
            hint="name another file, or a new profile with --profile; the token is not spent",
        )
    return storage


def _new(path: str, trust: OpenPolicy, profile: str | None) -> EncryptedStorage:
    """Wrap, and prove that the place can be written, before anything is sent."""
    if not os.path.lexists(path) and trust.keys is None:
        trust = OpenPolicy.from_args([default_key()], trust.context, trust.arguments)
    if profile is not None:
        _make_profile(path, trust, profile)
    return open_storage(
        path,
        keys=trust.keys,
        context=trust.context,
        settings=trust.arguments,
        profile=profile,
    )


def _make_profile(path: str, trust: OpenPolicy, profile: str) -> None:
    if os.path.lexists(path):
        change_document(path, trust, lambda document: with_new_profile(document, profile, {}))
        return
    create_document(path, trust, with_new_profile(Document({}), profile, {}))


def _bind(server: _Server, storage: EncryptedStorage) -> None:
    # One save for all that a bind needs; it is done before the first request.
    with storage.batch():
        manager = server.connect(storage)
    manager.bind()


def _report(path: str, storage: EncryptedStorage, profile: str | None, *, as_json: bool) -> None:
    hostname = storage.get("hostname")
    if as_json:
        data_as_json({"path": path, "profile": profile, "hostname": hostname})
    where = f"profile {profile} of {path}" if profile else path
    say(f"bound {where} to {hostname}; the token is spent")
