"""The hooks of the provider ``azure-kv``; importing this module imports no Azure client."""

from __future__ import annotations

from collections.abc import Sequence

from ksm_storage.plugin import KeyWrapper, Option, Settings, hookimpl

from . import key_names


@hookimpl
def key_wrapper_options() -> Sequence[Option]:
    """Declare how the vault is reached and who asks."""
    from .options import declared_options

    return declared_options()


@hookimpl
def open_key_wrapper(key_id: str, settings: Settings) -> KeyWrapper:
    """Open the key wrapper of one key; the client is made when it is first used."""
    from .client import VaultClient
    from .key_wrapper import AzureKeyWrapper, algorithm_for
    from .options import connection_from

    name = key_names.KeyName.parse(key_id)
    name.require_suffix(settings.text("dns_suffix"))
    algorithm = settings.text("algorithm") or algorithm_for(name)
    client = VaultClient(connection_from(settings, host=name.host))
    return AzureKeyWrapper(name, client, algorithm=algorithm)


@hookimpl
def recognise_key(text: str) -> str | None:
    """Recognise the URL of a key in a vault or managed HSM."""
    return key_names.recognised(text)


@hookimpl
def key_covers(trusted: str, key_id: str) -> bool | None:
    """Let a key without version stand for each of its versions."""
    return key_names.covers(trusted, key_id)


@hookimpl
def newest_version(key_id: str) -> str | None:
    """Wrap anew by the key without version, which means the newest."""
    return key_names.newest_version(key_id)
