"""The hooks of the provider ``oracle-kv``; importing this module imports no Oracle client."""

from __future__ import annotations

from collections.abc import Sequence

from ksm_storage import plugin as kit

from .key_names import NAMES


@kit.hookimpl
def key_wrapper_options() -> Sequence[kit.Option]:
    """Declare how the vault is reached and which credentials are used."""
    from .options import declared_options

    return declared_options()


@kit.hookimpl
def open_key_wrapper(key_id: str, settings: kit.Settings) -> kit.KeyWrapper:
    """Open the key wrapper of one key; the client is made when it is first used."""
    from .client import VaultClient
    from .key_wrapper import OracleKeyWrapper
    from .options import access_from

    client = VaultClient(NAMES.parse(key_id), access_from(settings))
    return OracleKeyWrapper(client, algorithm=settings.required_text("algorithm"))


@kit.hookimpl
def recognise_key(text: str) -> str | None:
    """Recognise the OCID of a key."""
    return text if NAMES.find(text) else None


@kit.hookimpl
def key_covers(trusted: str, key_id: str) -> bool | None:
    """Let a key stand for each of its versions."""
    return NAMES.covers(trusted, key_id, versions_only=False)


@kit.hookimpl
def newest_version(key_id: str) -> str | None:
    """Wrap anew by the key without version, which means the current one."""
    name = NAMES.find(key_id)
    return None if name is None else name.key
