"""An envelope as bytes: strict in, canonical out; no cryptography and no files."""

from __future__ import annotations

import binascii
import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from io import BytesIO
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..contract.key_wrapper import MAX_ALGORITHM, MAX_WRAPPED_DEK, Aad, KeyUri, is_visible_ascii
from ..errors import EnvelopeError, SettingsError
from .model import (
    ENVELOPE_ID_BYTES,
    MAX_CONTEXT_BYTES,
    MAX_CONTEXT_PAIRS,
    MAX_FILE_BYTES,
    MAX_HEADER_BYTES,
    MAX_LINEAGE,
    MAX_PAYLOAD_BYTES,
    MAX_RECIPIENTS,
    MESSAGE_ID_BYTES,
    NO_CONTEXT,
    RESERVED_CONTEXT,
    SECRET_BYTES,
    SUITE,
    TAG_BYTES,
    Envelope,
    Header,
    Recipient,
)

if TYPE_CHECKING:
    from datetime import datetime

MAGIC = b"ksm-storage envelope v1\n"

_ANY_MAGIC = rb"ksm-storage envelope v(0|[1-9][0-9]{0,17})\n"
_PAYLOAD_LINE = 64
# The values of a header are matched by hand: each start would compile a pattern to use it once.
_MAX_DIGITS = 18
_TIME = "0000-00-00T00:00:00Z"
_ANY_DIGIT = str.maketrans("123456789", "000000000")
_DAYS = dict(enumerate((31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), start=1))
_HEX_DIGITS = frozenset("0123456789abcdef")
_FIRST_YEAR = 1970
# Whose key it is, in a line of a header that need not be valid.
_RECIPIENT = rb"(?m)^recipient: ([a-z0-9-]+)://"
_CONTEXT_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_CONTEXT_VALUE = r"[!-~](?:[ -~]{0,254}[!-~])?"
# The only bytes that an envelope may contain (E4); deleting them leaves the others.
_ALLOWED = bytes([0x0A, *range(0x20, 0x7F)])


def looks_like_envelope(raw: bytes) -> bool:
    """Tell whether the bytes begin as an envelope of any version does."""
    return raw.removeprefix(BOM_UTF8).startswith(b"ksm-storage envelope v")


def decode(raw: bytes) -> Envelope:
    """Parse the bytes of an envelope.

    Raises:
        EnvelopeError: They break one of the rules E1 to E18.
    """
    if len(raw) > MAX_FILE_BYTES:
        raise _damaged(f"the envelope is larger than {MAX_FILE_BYTES} bytes")
    raw = _as_written(raw)
    _check_magic(raw)
    if raw.translate(None, _ALLOWED):
        raise _damaged("the envelope contains a byte that is not printable ASCII")
    header, header_mac, end = _header(raw)
    envelope = Envelope(header, header_mac, _payload(raw[end + 2 :]))
    if encode(envelope) != raw:
        # The one check that enforces all of E10 and E11: whatever a lenient parser above let
        # through serialises to other bytes.
        raise _damaged("the envelope is not in canonical form")
    return envelope


def peek_providers(raw: bytes) -> list[str]:
    """Return the providers of the recipients, in their order, without checking anything."""
    return [name.decode("ascii") for name in re.findall(_RECIPIENT, raw[:MAX_HEADER_BYTES])]


def _header(raw: bytes) -> tuple[Header, bytes, int]:
    end = raw.find(b"\n\n", 0, MAX_HEADER_BYTES)
    if end < 0:
        raise _damaged("the envelope's header is not terminated")
    lines = raw[len(MAGIC) : end].decode("ascii", errors="replace").split("\n")
    return *_HeaderReader(lines).read(), end


def encode(envelope: Envelope) -> bytes:
    """Serialise an envelope."""
    header_mac = _line("header-mac", _base64(envelope.header_mac))
    text = binascii.b2a_base64(envelope.ciphertext, newline=False)
    # For a megabyte, slices take twice as long; struct is as fast, but each start would load it.
    lines = iter(partial(BytesIO(text).read, _PAYLOAD_LINE), b"")
    return b"\n".join([mac_input(envelope.header) + header_mac, *lines, b""])


def mac_input(header: Header) -> bytes:
    """Return the bytes that the header MAC covers (S3)."""
    parts = [
        MAGIC,
        _line("suite", str(SUITE)),
        _line("envelope-id", header.envelope_id.hex()),
        _line("created", header.created),
        _line("sealed", header.sealed),
        _line("revision", str(header.revision)),
        _line("generation", str(header.generation)),
        *_context_lines(header),
    ]
    for recipient in header.recipients:
        parts += (
            _line("recipient", str(recipient.key)),
            _line("algorithm", recipient.algorithm),
            _line("wrapped-dek", _base64(recipient.ciphertext)),
        )
    parts += (
        _line("message-id", _base64(header.message_id)),
        _line("commitment", _base64(header.commitment)),
    )
    if header.lineage:
        parts.append(_line("lineage", _base64(header.lineage)))
    return b"".join(parts)


def payload_aad(header: Header) -> bytes:
    """Return the immutable core, which a rewrap does not change (S5)."""
    return b"".join(
        (
            MAGIC,
            _line("suite", str(SUITE)),
            _line("envelope-id", header.envelope_id.hex()),
            _line("generation", str(header.generation)),
            *_context_lines(header),
            _line("message-id", _base64(header.message_id)),
        )
    )


def lineage_aad(envelope_id: bytes, generation: int) -> bytes:
    """Return what a lineage is bound to: the envelope and the generation (S7)."""
    lines = _line("envelope-id", envelope_id.hex()), _line("generation", str(generation))
    return b"".join((MAGIC, *lines))


def wrap_aad(envelope_id: bytes, generation: int, context: Mapping[str, str]) -> Aad:
    """Return the AAD of the wrapped DEKs of an envelope (W1)."""
    return Aad(
        {
            **context,
            "ksm-storage.format": "envelope v1",
            "ksm-storage.purpose": "wrap-dek",
            "ksm-storage.envelope-id": envelope_id.hex(),
            "ksm-storage.generation": str(generation),
        }
    )


def format_time(time: datetime) -> str:
    """Return a time as the header writes it (E9)."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    """Return the time that a header writes."""
    # A start that only reads values compares no times.
    from datetime import UTC, datetime

    return datetime.fromisoformat(text[:-1]).replace(tzinfo=UTC)


def checked_context(context: Mapping[str, str] | None) -> Mapping[str, str]:
    """Return a private copy of a context that a user gave, sorted by name.

    Raises:
        SettingsError: It breaks rule E12 or E13.
    """
    given = dict(context or NO_CONTEXT)
    if not all(isinstance(part, str) for pair in given.items() for part in pair):
        raise SettingsError("the context must map strings to strings")
    problem = _context_problem(given)
    if problem is not None:
        raise SettingsError(
            f"the context {problem}",
            hint="names: letters, digits, '.', '_', '-', and no 'ksm-storage.' at the start; "
            "values: printable ASCII, at most 256 characters",
        )
    return MappingProxyType(dict(sorted(given.items())))


def _context_problem(context: Mapping[str, str]) -> str | None:
    """Return what is wrong with a context (E12, E13), or None."""
    if len(context) > MAX_CONTEXT_PAIRS:
        return f"has more than {MAX_CONTEXT_PAIRS} labels"
    if sum(len(name) + len(value) for name, value in context.items()) > MAX_CONTEXT_BYTES:
        return f"is longer than {MAX_CONTEXT_BYTES} bytes"
    for name, value in context.items():
        if not re.fullmatch(_CONTEXT_NAME, name) or name.startswith(RESERVED_CONTEXT):
            return "has an invalid name"
        if not re.fullmatch(_CONTEXT_VALUE, value):
            return "has an invalid value"
    return None


def _as_written(raw: bytes) -> bytes:
    """Undo what editors and transfers in text mode do to a whole file (E18)."""
    raw = raw.removeprefix(BOM_UTF8)
    if b"\r" in raw and raw.count(b"\r\n") == raw.count(b"\r") == raw.count(b"\n"):
        raw = raw.replace(b"\r\n", b"\n")
    # Behind the header only: a file that ends in it is cut off.
    return raw if raw.endswith(b"\n") or b"\n\n" not in raw else raw + b"\n"


def _check_magic(raw: bytes) -> None:
    if raw.startswith(MAGIC):
        return
    other = re.match(_ANY_MAGIC, raw)
    if other:
        raise EnvelopeError(f"unknown envelope version {int(other[1])}", hint="upgrade ksm-storage")
    if not raw:
        raise EnvelopeError(
            "the file is empty: a save was interrupted before ksm-storage wrote it",
            hint="restore it from a backup",
        )
    if raw.startswith(b"ksm-storage envelope v"):
        raise EnvelopeError(
            "the envelope's first line is damaged",
            hint="restore it from a backup; a transfer in text mode changes line endings",
        )
    raise EnvelopeError(
        "not a ksm-storage envelope",
        hint="to seal a plain configuration: ksm-storage protect PATH",
    )


def _payload(body: bytes) -> bytes:
    # The canonical comparison would find this too; the most common damage has its own message.
    if not body.endswith(b"\n"):
        raise _damaged("the envelope's payload is truncated")
    try:
        ciphertext = binascii.a2b_base64(body.replace(b"\n", b""), strict_mode=True)
    except ValueError as exc:
        raise _damaged("the envelope's payload is not valid base64") from exc
    if not TAG_BYTES <= len(ciphertext) <= MAX_PAYLOAD_BYTES + TAG_BYTES:
        raise _damaged("the envelope's payload has an invalid length")
    return ciphertext


def _context_lines(header: Header) -> Iterator[bytes]:
    for name, value in header.context.items():
        yield _line("context", f"{name}={value}")


def _line(name: str, value: str) -> bytes:
    return f"{name}: {value}\n".encode("ascii")


def _base64(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).decode("ascii")


class _HeaderReader:
    """Read the lines of one header in their fixed order, from ``suite`` to ``header-mac``."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._next = 0

    def read(self) -> tuple[Header, bytes]:
        """Return the header and its MAC.

        Raises:
            EnvelopeError: A line is missing, out of order or invalid.
        """
        self._suite()
        envelope_id = self._envelope_id()
        created, sealed = self._time("created"), self._time("sealed")
        header = Header(
            envelope_id=envelope_id,
            created=created,
            sealed=sealed,
            revision=self._number("revision", at_least=1),
            generation=self._number("generation", at_least=1),
            context=self._context(),
            recipients=self._recipients(),
            message_id=self._bytes("message-id", MESSAGE_ID_BYTES),
            commitment=self._bytes("commitment", 32),
        )
        if header.generation > 1:
            header = header._replace(lineage=self._lineage())
        header_mac = self._bytes("header-mac", 32)
        if self._next != len(self._lines):
            raise _damaged("the envelope's header has an unexpected line")
        return header, header_mac

    def _suite(self) -> None:
        suite = self._number("suite", at_least=0)
        if suite != SUITE:
            raise EnvelopeError(f"unknown envelope suite {suite}", hint="upgrade ksm-storage")

    def _envelope_id(self) -> bytes:
        text = self._value("envelope-id")
        if len(text) != 2 * ENVELOPE_ID_BYTES or not _HEX_DIGITS.issuperset(text):
            raise _malformed("envelope-id")
        return bytes.fromhex(text)

    def _number(self, name: str, *, at_least: int) -> int:
        text = self._value(name)
        number = int(text) if len(text) <= _MAX_DIGITS and text.isdecimal() else -1
        # Written in one way only: ASCII digits, without leading zeros.
        if number < at_least or str(number) != text:
            raise _malformed(name)
        return number

    def _time(self, name: str) -> str:
        text = self._value(name)
        if text.translate(_ANY_DIGIT) != _TIME:
            raise _malformed(name)
        year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
        is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        is_day = 1 <= day <= _DAYS.get(month, 0) + (is_leap and month == 2)
        is_time = text[11:13] < "24" and text[14:16] < "60" and text[17:19] < "60"
        if year < _FIRST_YEAR or not is_day or not is_time:
            raise _malformed(name)
        return text

    def _context(self) -> Mapping[str, str]:
        context: dict[str, str] = {}
        while self._peek() == "context":
            name, _, value = self._value("context").partition("=")
            if name in context:
                raise _malformed("context")
            context[name] = value
        if _context_problem(context) is not None or list(context) != sorted(context):
            raise _malformed("context")
        return MappingProxyType(context)

    def _recipients(self) -> tuple[Recipient, ...]:
        recipients: dict[KeyUri, Recipient] = {}
        while not recipients or self._peek() == "recipient":
            recipient = self._recipient()
            if recipient.key in recipients or len(recipients) == MAX_RECIPIENTS:
                raise _damaged("the envelope has a duplicate recipient, or too many recipients")
            recipients[recipient.key] = recipient
        return tuple(recipients.values())

    def _recipient(self) -> Recipient:
        try:
            key = KeyUri.parse(self._value("recipient"))
        except SettingsError as exc:
            raise _malformed("recipient") from exc
        algorithm = self._value("algorithm")
        if not is_visible_ascii(algorithm, max_length=MAX_ALGORITHM):
            raise _malformed("algorithm")
        return Recipient(key, algorithm, self._bytes("wrapped-dek"))

    def _lineage(self) -> bytes:
        lineage = self._bytes("lineage")
        secrets, rest = divmod(len(lineage) - TAG_BYTES, SECRET_BYTES)
        if rest or not 1 <= secrets <= MAX_LINEAGE:
            raise _malformed("lineage")
        return lineage

    def _bytes(self, name: str, length: int | None = None) -> bytes:
        try:
            raw = binascii.a2b_base64(self._value(name).encode("ascii"), strict_mode=True)
        except ValueError as exc:
            raise _malformed(name) from exc
        if not 1 <= len(raw) <= MAX_WRAPPED_DEK or length not in (None, len(raw)):
            raise _malformed(name)
        return raw

    def _value(self, name: str) -> str:
        if self._peek() != name:
            raise _damaged(f"{name!r} is missing or out of order in the envelope's header")
        value = self._lines[self._next][len(name) + 2 :]
        self._next += 1
        return value

    def _peek(self) -> str | None:
        if self._next == len(self._lines):
            return None
        name, separator, _ = self._lines[self._next].partition(": ")
        return name if separator else None


def _malformed(name: str) -> EnvelopeError:
    return _damaged(f"invalid {name!r} in the envelope's header")


def _damaged(what: str) -> EnvelopeError:
    """Return the error for an envelope that breaks a rule of its format."""
    return EnvelopeError(what, hint="the file is damaged: restore it from a backup")
