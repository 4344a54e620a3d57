"""The hooks of the provider ``oracle-kv``; importing this module imports no Oracle client."""

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
    from .key_wrapper import OracleKeyWrapper
    from .options import connection_from

    name = key_names.KeyName.parse(key_id)
    connection = connection_from(settings)
    client = VaultClient(name, connection)
    algorithm = settings.required_text("algorithm")
    return OracleKeyWrapper(name, client, connection=connection, algorithm=algorithm)


@hookimpl
def recognise_key(text: str) -> str | None:
    """Recognise the OCID of a key."""
    return key_names.recognised(text)


@hookimpl
def key_covers(trusted: str, key_id: str) -> bool | None:
    """Let a key stand for each of its versions."""
    return key_names.covers(trusted, key_id)


@hookimpl
def newest_version(key_id: str) -> str | None:
    """Wrap anew by the key without version, which means the current one."""
    return key_names.newest_version(key_id)
