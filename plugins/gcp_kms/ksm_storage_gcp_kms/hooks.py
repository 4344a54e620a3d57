"""The hooks of the provider ``gcp-kms``; importing this module imports no Google client."""

from __future__ import annotations

from collections.abc import Sequence

from ksm_storage import plugin as kit

from . import key_names


@kit.hookimpl
def key_wrapper_options() -> Sequence[kit.Option]:
    """Declare how Cloud KMS is reached and which credentials are used."""
    from .options import declared_options

    return declared_options()


@kit.hookimpl
def open_key_wrapper(key_id: str, settings: kit.Settings) -> kit.KeyWrapper:
    """Open the key wrapper of one key; the client is made when it is first used."""
    from .client import KmsClient
    from .key_wrapper import GcpKmsKeyWrapper
    from .options import access_from

    name = key_names.NAMES.parse(key_id)
    client = KmsClient(access_from(settings))
    return GcpKmsKeyWrapper(name, client, purpose=settings.required_text("purpose"))


@kit.hookimpl
def recognise_key(text: str) -> str | None:
    """Recognise the resource name of a key or of a key version."""
    return text if key_names.NAMES.find(text) else None


@kit.hookimpl
def key_covers(trusted: str, key_id: str) -> bool | None:
    """Let a key without version stand for each of its versions."""
    return key_names.NAMES.covers(trusted, key_id)


@kit.hookimpl
def newest_version(key_id: str, algorithm: str) -> str | None:
    """Wrap anew by the key without version, if it has a primary one."""
    return key_names.newest_version(key_id, algorithm)
