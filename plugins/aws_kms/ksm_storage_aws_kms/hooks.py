"""The hooks of the provider ``aws-kms``; importing this module imports no AWS client."""

from __future__ import annotations

from collections.abc import Sequence

from ksm_storage.plugin import KeyWrapper, Option, Settings, hookimpl

from . import key_names


@hookimpl
def key_wrapper_options() -> Sequence[Option]:
    """Declare how KMS is reached and who asks."""
    from .options import declared_options

    return declared_options()


@hookimpl
def open_key_wrapper(key_id: str, settings: Settings) -> KeyWrapper:
    """Open the key wrapper of one KMS key; the client is made when it is first used."""
    from .client import KmsClient
    from .key_wrapper import AwsKmsKeyWrapper
    from .options import access_from

    name = key_names.KeyName.parse(key_id)
    region = settings.text("region") or name.region
    if region is not None:
        name = name.in_region(region)
    client = KmsClient(access_from(settings, region=region), str(name))
    return AwsKmsKeyWrapper(name, client, algorithm=settings.required_text("algorithm"))


@hookimpl
def recognise_key(text: str) -> str | None:
    """Recognise the ARN of a KMS key or alias."""
    return text if key_names.is_arn(text) else None


@hookimpl
def key_covers(trusted: str, key_id: str) -> bool | None:
    """Let an alias, a bare key id and a replica's ARN stand for a key; KMS confirms it."""
    return key_names.covers(trusted, key_id)
