"""The hooks of the provider ``tpm2``; importing this module imports no TPM library."""

from __future__ import annotations

from collections.abc import Sequence

from ksm_storage.plugin import KeyWrapper, Option, Settings, hookimpl


@hookimpl
def key_wrapper_options() -> Sequence[Option]:
    """Declare where the TPM is, and what a data key is sealed to."""
    from .options import declared_options

    return declared_options()


@hookimpl
def open_key_wrapper(key_id: str, settings: Settings) -> KeyWrapper:
    """Open the key wrapper of one key; the TPM is first called when it is used."""
    from .key_wrapper import TpmKeyWrapper
    from .options import KeyName, access_from

    return TpmKeyWrapper(KeyName.parse(key_id), access_from(settings))
