"""Recognise plain configurations and one-time tokens in the content of a file."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

from ..config.fields import FIELDS, is_secret
from ..config.recognise import Form, is_plain, recognise
from ..errors import StorageError
from .finding import Finding, Kind

_KINDS = {Form.JSON: Kind.JSON, Form.BASE64: Kind.BASE64, Form.INI: Kind.INI}

# A region or a host before the 43 characters of 32 bytes; bare, they could be anything.
_TOKEN = re.compile(
    rb"(?<![\w.:-])(?:US|EU|AU|CA|JP|GOV|US_GOV|IL5|(?:[a-z0-9-]+\.)*keepersecurity\.[a-z.]{2,6})"
    rb":([A-Za-z0-9_-]{43})(?![\w-])",
    re.IGNORECASE,
)
# A field as JSON, YAML, INI and shells write it; quotes may be escaped in a string of JSON.
_SECRET = re.compile(
    rb"(?<![A-Za-z0-9])(privatekey|appkey|clientkey)[\\\"']*\s*[:=]\s*[\\\"']*"
    rb"([A-Za-z0-9+/_-]{42,}={0,2})",
    re.IGNORECASE,
)
# The beginnings of '{"', '{ ' and '{' with a line's end, in base64; then, for Kubernetes, twice.
_BASE64 = re.compile(rb"(?<![A-Za-z0-9+/])(?:e[wy]|ZX[ls])[A-Za-z0-9+/_-]{60,}={0,2}")
_FIELDS_IN_JSON = re.compile(rb'"(?:privateKey|appKey|clientKey)"\s*:\s*"[^"]')

_KEY_BYTES = 32
_SHORTEST_PRIVATE_KEY = 100
_DER_SEQUENCE = 0x30


def find_secrets(raw: bytes) -> Iterator[Finding]:
    """Yield what the bytes of a file hold in the clear, in order, at most one finding a line."""
    text = _as_utf_8(raw)
    whole = _whole(text)
    if whole is not None:
        # One finding for the file: it is one thing to seal.
        yield Finding(1, whole)
        return
    for number, line in enumerate(text.splitlines(), 1):
        kind = _in_line(line)
        if kind is not None:
            yield Finding(number, kind)


def _as_utf_8(raw: bytes) -> bytes:
    # What Windows' PowerShell writes with ">".
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", errors="replace").encode("utf-8", errors="replace")
    return raw.removeprefix(b"\xef\xbb\xbf")


def _whole(text: bytes) -> Kind | None:
    if not is_plain(text):
        return None
    try:
        plain = recognise(text, name="")
    except StorageError:
        return None
    # An address alone, or {}, is nothing to hide.
    for config in plain.document.profiles.values():
        if any(name in FIELDS and is_secret(name) and value for name, value in config.items()):
            return _KINDS.get(plain.form)
    return None


def _in_line(line: bytes) -> Kind | None:
    if any(_is_key_of(match[1], match[2]) for match in _SECRET.finditer(line)):
        return Kind.SECRET
    if any(_holds_config(match[0]) for match in _BASE64.finditer(line)):
        return Kind.BASE64
    if any(len(_decoded(match[1])) == _KEY_BYTES for match in _TOKEN.finditer(line)):
        return Kind.TOKEN
    return None


def _is_key_of(name: bytes, value: bytes) -> bool:
    decoded = _decoded(value)
    if name.lower() == b"privatekey":
        return len(decoded) >= _SHORTEST_PRIVATE_KEY and decoded[0] == _DER_SEQUENCE
    return len(decoded) == _KEY_BYTES


def _holds_config(text: bytes) -> bool:
    decoded = _decoded(text)
    return bool(_FIELDS_IN_JSON.search(decoded) or _FIELDS_IN_JSON.search(_decoded(decoded)))


def _decoded(text: bytes) -> bytes:
    stripped = text.strip().rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
    try:
        return base64.b64decode(stripped + b"=" * (-len(stripped) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""
