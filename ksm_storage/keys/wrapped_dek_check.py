"""What a plugin must have returned for a wrap before an envelope may keep it."""

from __future__ import annotations

from ..contract.key_uri import KeyUri, is_visible_ascii
from ..contract.key_wrapper import MAX_ALGORITHM, MAX_WRAPPED_DEK, WrappedDek
from ..errors import SettingsError


def fault_of(wrapped: object, dek: bytes, *, provider: str) -> str | None:
    """Return in a few words what is wrong with a wrapped DEK, None if nothing is."""
    if not isinstance(wrapped, WrappedDek):
        return "returned no wrapped DEK"
    ciphertext = wrapped.ciphertext
    if not isinstance(ciphertext, bytes) or not 1 <= len(ciphertext) <= MAX_WRAPPED_DEK:
        return f"returned no ciphertext of 1 to {MAX_WRAPPED_DEK} bytes"
    if dek in ciphertext:
        return "returned the DEK unencrypted"
    if not is_visible_ascii(wrapped.algorithm, longest=MAX_ALGORITHM):
        return "returned no usable name of an algorithm"
    try:
        KeyUri(provider, wrapped.key_id)
    except (SettingsError, TypeError):
        return "returned no usable key id"
    return None
