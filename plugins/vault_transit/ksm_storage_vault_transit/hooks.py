"""The hooks of the provider ``vault-transit``; importing this module imports no HTTP client."""

from __future__ import annotations

from collections.abc import Sequence

from ksm_storage.plugin import KeyWrapper, Option, Settings, hookimpl


@hookimpl
def key_wrapper_options() -> Sequence[Option]:
    """Declare how the server is reached and who asks."""
    from .options import declared_options

    return declared_options()


@hookimpl
def open_key_wrapper(key_id: str, settings: Settings) -> KeyWrapper:
    """Open the key wrapper of one key; the server is first called when it is used."""
    from .client import VaultClient
    from .key_wrapper import TransitKey, TransitKeyWrapper
    from .options import access_from

    return TransitKeyWrapper(TransitKey.parse(key_id), VaultClient(access_from(settings)))


@hookimpl
def key_covers(trusted: str, key_id: str) -> bool:
    """Let the name of a signing key stand for each of its versions."""
    path, separator, version = key_id.rpartition("@")
    return trusted == key_id or (separator == "@" and version.isdecimal() and trusted == path)
