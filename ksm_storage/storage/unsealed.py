"""Read a configuration that is not yet in an envelope: plain, or sealed by an official package."""

from __future__ import annotations

from collections.abc import Sequence

from ..config.recognise import Form, Plain, recognise
from ..contract.key_uri import KeyUri
from ..keys.known_providers import LOCAL
from ..legacy.official import is_blob, is_official, open_official
from .open_policy import OpenPolicy


def read_unsealed(
    content: bytes, policy: OpenPolicy, from_key: KeyUri | None, *, name: str
) -> Plain:
    """Return the configuration in the bytes of a file that is no envelope.

    Args:
        content: The bytes.
        policy: Its keys open an official package's file, unless another is given.
        from_key: The key of an official package's file.
        name: What the messages call the file.

    Raises:
        StorageError: It is no configuration.
        EnvelopeError, DecryptionError, ProviderError, PluginError: An official package's file
            could not be opened.
    """
    if is_officially_sealed(content, policy.keys or (), from_key):
        keys = (from_key,) if from_key is not None else policy.keys or ()
        return Plain(Form.OFFICIAL, open_official(content, keys, policy.open_kek))
    return recognise(content, name=name)


def is_officially_sealed(content: bytes, keys: Sequence[KeyUri], from_key: KeyUri | None) -> bool:
    """Tell whether the bytes are to be opened as a file of an official package."""
    # No official package seals under a local key; with one, bytes that merely may be a file of
    # such a package are more likely a text in another encoding.
    tried = (from_key,) if from_key is not None else keys
    return is_blob(content) or (
        is_official(content) and not all(key.provider in LOCAL for key in tried)
    )
