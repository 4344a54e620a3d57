"""Write and read JSON Web Tokens, as little of them as the emulators need."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_BASE64URL = re.compile(r"([A-Za-z0-9_-]*)={0,2}")


@dataclass(frozen=True, slots=True)
class JsonWebToken:
    """A token that was read and not verified: what it says, and what its signature covers."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


def write_token(
    header: Mapping[str, Any], claims: Mapping[str, Any], sign: Callable[[bytes], bytes]
) -> str:
    """Return a signed token."""
    signed = f"{_part(header)}.{_part(claims)}"
    return f"{signed}.{encode(sign(signed.encode()))}"


def read_token(text: str) -> JsonWebToken:
    """Read a token without verifying it.

    Raises:
        ValueError: It has no such form.
    """
    parts = text.split(".")
    if len(parts) != 3:
        raise ValueError("a token has three parts")
    header, claims = (json.loads(decode(part)) for part in parts[:2])
    if not (isinstance(header, dict) and isinstance(claims, dict)):
        raise ValueError("a token's parts are objects")
    return JsonWebToken(header, claims, f"{parts[0]}.{parts[1]}".encode(), decode(parts[2]))


def encode(raw: bytes) -> str:
    """Return base64url without padding, as the service and JSON Web Tokens write it."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Read base64url, refusing any other character.

    Raises:
        ValueError: Not base64url.
    """
    # The decoder takes the characters of plain base64 as well.
    match = _BASE64URL.fullmatch(text)
    if match is None:
        raise ValueError("not base64url")
    bare = match[1]
    try:
        return base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    except binascii.Error as exc:
        raise ValueError("not base64url") from exc


def _part(value: Mapping[str, Any]) -> str:
    return encode(json.dumps(value, separators=(",", ":")).encode())
