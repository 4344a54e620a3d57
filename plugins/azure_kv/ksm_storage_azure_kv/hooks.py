"""The hooks of the provider ``azure-kv``; importing this module imports no Azure client."""

from __future__ import annotations

from collections.abc import Sequence

from ksm_storage import plugin as kit

from .key_names import NAMES, recognised, require_suffix


@kit.hookimpl
def key_wrapper_options() -> Sequence[kit.Option]:
    """Declare how the vault is reached and which credentials are used."""
    from .options import declared_options

    return declared_options()


@kit.hookimpl
def open_key_wrapper(key_id: str, settings: kit.Settings) -> kit.KeyWrapper:
    """Open the key wrapper of one key; the client is made when it is first used."""
    from .client import VaultClient
    from .key_wrapper import AzureKeyWrapper, algorithm_for
    from .options import access_from

    name = NAMES.parse(key_id)
    require_suffix(name, settings.text("dns_suffix"))
    algorithm = settings.text("algorithm") or algorithm_for(name)
    return AzureKeyWrapper(name, VaultClient(name, access_from(settings)), algorithm=algorithm)


@kit.hookimpl
def recognise_key(text: str) -> str | None:
    """Recognise the URL of a key in a vault or managed HSM."""
    return recognised(text)


@kit.hookimpl
def key_covers(trusted: str, key_id: str) -> bool | None:
    """Let a key without version stand for each of its versions."""
    return NAMES.covers(trusted, key_id)


@kit.hookimpl
def newest_version(key_id: str) -> str | None:
    """Wrap anew by the key without version, which means the newest."""
    return NAMES.newest_version(key_id)
