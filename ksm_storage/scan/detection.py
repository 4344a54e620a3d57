"""Recognise plain configurations and one-time tokens in the content of a file; never show them.

The time grows in proportion to the size of the file, whatever it holds.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from enum import Enum
from itertools import accumulate
from typing import NamedTuple

from ..config.document import decode_base64
from ..config.fields import FIELDS, is_secret
from ..config.recognise import Form, recognise
from ..errors import StorageError

# No configuration is larger, and the INI parser needs seconds for each megabyte. What is larger is
# still searched for secrets, line by line.
_MAX_CONFIG_BYTES = 262_144

# A region or a host before the 43 characters of 32 bytes; without one, they could be anything.
_TOKEN = re.compile(
    rb"(?<![\w.:-])(?:US|EU|AU|CA|JP|GOV|US_GOV|IL5|(?:[a-z0-9-]+\.)*keepersecurity\.[a-z.]{2,6})"
    rb":([A-Za-z0-9_-]{43})(?![\w-])",
    re.IGNORECASE,
)
# A field as JSON, YAML, INI and shells write it; quotes may be escaped in a JSON string.
_SECRET = re.compile(
    rb"(?<![A-Za-z0-9])(privatekey|appkey|clientkey)[\\\"']*\s*[:=]\s*[\\\"']*"
    rb"([A-Za-z0-9+/_-]{42,}={0,2})",
    re.IGNORECASE,
)
# The same with its value on the lines below, in one or several: a block or a folded text of YAML, a
# string that goes on after a line end. The value is looked at and not passed, for it may be the
# next field.
_FOLD = rb"(?:\\r)?(?:\\n|\\?\r?\n)[ \t]*"
_FOLDED_SECRET = re.compile(
    rb"(?<![A-Za-z0-9])(privatekey|appkey|clientkey)[\\\"']*\s*[:=][ \t]*"
    rb"(?:[|>][0-9+-]{0,2}[ \t]*(?:\#[^\r\n]*)?)?(?:" + _FOLD + rb")*[\\\"']*"
    rb"(?=([A-Za-z0-9+/_-]+(?:" + _FOLD + rb"[A-Za-z0-9+/_-]+){0,64}={0,2}))",
    re.IGNORECASE,
)
_FIELDS_IN_JSON = re.compile(rb'"(?:privateKey|appKey|clientKey)"\s*:\s*"[^"]')
# Base64, on one line or folded: YAML, mail and "base64" break lines, JSON writes the break as \n.
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]+(?:" + _FOLD + rb"[A-Za-z0-9+/_-]+)*")
_FOLDS = re.compile(_FOLD)

# "+", "/" and "=" as .NET and others write them in JSON, perhaps in a string of more JSON.
_ESCAPED = re.compile(rb"\\{1,8}u00(2[bBfF]|3[dD])")

# The longer marks first: that of UTF-32 begins with that of UTF-16.
_MARKS = (
    *((b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32")),
    *((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig")),
)
_BEGINNING = 8192

_MIN_SECRET = 43
_MIN_BASE64 = 60
_MAX_WRAPPERS = 4
_KEY_BYTES = 32
_MIN_PRIVATE_KEY = 100
_DER_SEQUENCE = 0x30
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


class Kind(Enum):
    """Name what was found."""

    JSON = "plain configuration (JSON)"
    BASE64 = "plain configuration (base64)"
    INI = "plain configuration (keeper.ini)"
    SECRET = "secret of a configuration"  # noqa: S105  # a kind of finding
    TOKEN = "one-time token"  # noqa: S105  # likewise


class Finding(NamedTuple):
    """Hold the kind and the line, from 1, of what was found in a file."""

    line: int
    kind: Kind


_KINDS = {Form.JSON: Kind.JSON, Form.BASE64: Kind.BASE64, Form.INI: Kind.INI}


def find_secrets(raw: bytes) -> Iterator[Finding]:
    """Yield what the bytes of a file hold in plain text, in order, at most one finding a line."""
    encoding = text_encoding(raw)
    text = raw if encoding is None else _as_utf_8(raw, encoding)
    whole = _whole(text)
    if whole is not None:
        # One finding for the file: it is one thing to protect.
        yield Finding(1, whole)
        return
    found = {Finding(line, Kind.BASE64) for line in _base64_lines(text)}
    lines = {finding.line for finding in found}
    unescaped = _unescaped(text)
    for number, line in enumerate(unescaped.splitlines(), 1):
        kind = _in_line(line) if len(line) >= _MIN_SECRET else None
        if kind is not None and (kind is Kind.SECRET or number not in lines):
            found.discard(Finding(number, Kind.BASE64))
            found.add(Finding(number, kind))
    lines = {finding.line for finding in found}
    found |= {Finding(n, Kind.SECRET) for n in _folded_secrets(unescaped) if n not in lines}
    yield from sorted(found, key=lambda finding: finding.line)


def text_encoding(raw: bytes) -> str | None:
    """Return the encoding of a text, by its byte order mark or by where its NUL bytes stand.

    None stands for UTF-8 and everything like it, and for what is not text.
    """
    marked = next((name for mark, name in _MARKS if raw.startswith(mark)), None)
    if marked is not None:
        return marked
    # Most of a configuration is ASCII, so that every other byte is NUL: what Windows' tools write
    # without a mark.
    low, high = raw[:_BEGINNING:2], raw[1:_BEGINNING:2]
    if b"\0" not in low and high.count(0) * 2 > len(high):
        return "utf-16-le"
    if b"\0" not in high and low.count(0) * 2 > len(low):
        return "utf-16-be"
    return None


def _as_utf_8(raw: bytes, encoding: str) -> bytes:
    return raw.decode(encoding, errors="replace").encode("utf-8", errors="replace")


def _unescaped(text: bytes) -> bytes:
    if b"u00" not in text:
        return text
    return _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), text)


def _whole(text: bytes) -> Kind | None:
    if len(text) > _MAX_CONFIG_BYTES or not text.strip():
        return None
    try:
        plain = recognise(text, name="it")
    except StorageError:
        return None
    # A host name alone, or {}, is not a secret.
    for config in plain.document.profiles.values():
        if any(name in FIELDS and is_secret(name) and value for name, value in config.items()):
            return _KINDS.get(plain.form)
    return None


def _in_line(line: bytes) -> Kind | None:
    if any(_is_key_of(match[1], match[2]) for match in _SECRET.finditer(line)):
        return Kind.SECRET
    if any(len(_decoded(match[1])) == _KEY_BYTES for match in _TOKEN.finditer(line)):
        return Kind.TOKEN
    return None


def _folded_secrets(text: bytes) -> Iterator[int]:
    """Yield the line of each field whose value stands on the lines below it."""
    ends: list[int] | None = None
    for match in _FOLDED_SECRET.finditer(text):
        # The next field may follow the value without a sign between them.
        values = accumulate(_FOLDS.split(match[2]))
        if any(len(value) >= _MIN_SECRET and _is_key_of(match[1], value) for value in values):
            ends = ends or _ends_of_lines(text)
            yield bisect_right(ends, match.start()) + 1


def _ends_of_lines(text: bytes) -> list[int]:
    return [match.end() for match in re.finditer(rb"\n", text)]


def _is_key_of(name: bytes, value: bytes) -> bool:
    decoded = _decoded(value)
    if name.lower() == b"privatekey":
        return len(decoded) >= _MIN_PRIVATE_KEY and decoded[0] == _DER_SEQUENCE
    return len(decoded) == _KEY_BYTES


def _decoded(text: bytes) -> bytes:
    return decode_base64(text) or b""


def _base64_lines(text: bytes) -> Iterator[int]:
    """Yield the line where each configuration in base64 begins."""
    ends: list[int] | None = None
    for run in _BASE64.finditer(text):
        if len(run[0]) < _MIN_BASE64:
            continue
        place = _place_in_run(run[0])
        if place is not None:
            ends = ends or _ends_of_lines(text)
            yield bisect_right(ends, run.start() + place) + 1


def _place_in_run(run: bytes, wrappers: int = 0) -> int | None:
    """Return where in a run of base64 a configuration begins, or None."""
    pieces = _FOLDS.split(run)
    joined = b"".join(pieces).translate(_URL_SAFE)
    # What stands before it without a blank, such as a word or a path, shifts it.
    for shift in range(4):
        decoded = _decoded(joined[shift : len(joined) - (len(joined) - shift) % 4])
        place = _place_of_config(decoded, wrappers)
        if place is not None:
            return _unfolded(run, shift + place * 4 // 3)
    return None


def _place_of_config(content: bytes, wrappers: int) -> int | None:
    match = _FIELDS_IN_JSON.search(content)
    if match is not None:
        return max(0, content.rfind(b"{", 0, match.start()))
    for match in _SECRET.finditer(content):
        if _is_key_of(match[1], match[2]):
            return max(0, content.rfind(b"[", 0, match.start()))
    if wrappers < _MAX_WRAPPERS:
        for run in _BASE64.finditer(content):
            if len(run[0]) >= _MIN_BASE64:
                place = _place_in_run(run[0], wrappers + 1)
                if place is not None:
                    return run.start() + place
    return None


def _unfolded(run: bytes, place: int) -> int:
    """Return the offset in a folded run of a character of the unfolded one."""
    passed = 0
    for fold in _FOLDS.finditer(run):
        if fold.start() - passed > place:
            break
        passed += len(fold[0])
    return place + passed
