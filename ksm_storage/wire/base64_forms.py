"""The base64 forms of the protocol: standard and url-safe, with and without padding."""

from __future__ import annotations

import binascii
import os

# Of a text with no, one or two characters of padding: 3 * characters - 4 * bytes.
PADDED = (0, 4, 8)


def to_base64(data: bytes) -> str:
    """Return the standard alphabet with padding, the form of headers and stored keys."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def to_url_safe(data: bytes) -> str:
    """Return the url-safe alphabet without padding, the form of uids and tokens."""
    return to_base64(data).replace("+", "-").replace("/", "_").rstrip("=")


def from_base64(text: str) -> bytes:
    """Decode either alphabet, padded or not.

    Raises:
        ValueError: A character of neither alphabet, an impossible length, or no text at all.
    """
    try:
        data = binascii.a2b_base64(text)
    except (ValueError, TypeError):
        return _from_other_form(text)
    # The decoder drops characters of no alphabet in silence, and the length shows it: each of
    # them makes three quarters of a byte less, each character of padding one byte.
    if 3 * len(text) - 4 * len(data) in PADDED:
        return data
    return _from_other_form(text)


def _from_other_form(text: str) -> bytes:
    # The text comes from the other side's JSON, where it may be anything.
    if not isinstance(text, str) or len(text) % 4 == 1:
        raise ValueError("not base64")
    standard = text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4)
    try:
        data = binascii.a2b_base64(standard)
    except ValueError as exc:
        raise ValueError("not base64") from exc
    if 3 * len(standard) - 4 * len(data) not in PADDED:
        raise ValueError("not base64")
    return data


def new_uid() -> str:
    """Return a fresh uid: 16 random bytes in 22 url-safe characters, never starting with ``-``."""
    # A uid that starts with a dash would be taken for an option by command lines.
    while (uid := to_url_safe(os.urandom(16))).startswith("-"):
        pass
    return uid
