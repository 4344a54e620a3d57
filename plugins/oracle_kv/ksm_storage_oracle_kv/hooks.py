"""The hooks of the provider ``oracle-kv``; importing this module imports no Oracle client."""

from __future__ import annotations

from collections.abc import Sequence

from ksm_storage.plugin import KeyWrapper, Option, Settings, hookimpl

from .key_names import NAMES


@hookimpl
def key_wrapper_options() -> Sequence[Option]:
    """Declare how the vault is reached and which credentials are used."""
    from .options import declared_options

    return declared_options()


@hookimpl
def open_key_wrapper(key_id: str, settings: Settings) -> KeyWrapper:
    """Open the key wrapper of one key; the client is made when it is first used."""
    from .client import VaultClient
    from .key_wrapper import OracleKeyWrapper
    from .options import access_from

    client = VaultClient(NAMES.parse(key_id), access_from(settings))
    return OracleKeyWrapper(client, algorithm=settings.required_text("algorithm"))


@hookimpl
def recognise_key(text: str) -> str | None:
    """Recognise the OCID of a key."""
    return text if NAMES.find(text) else None


@hookimpl
def key_covers(trusted: str, key_id: str) -> bool | None:
    """Let a key stand for each of its versions."""
    return NAMES.covers(trusted, key_id, versions_only=False)


@hookimpl
def newest_version(key_id: str) -> str | None:
    """Wrap anew by the key without version, which means the current one."""
    name = NAMES.find(key_id)
    return None if name is None else name.key
