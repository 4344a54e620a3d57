"""An envelope as bytes: strict in, canonical out; no cryptography and no files."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from datetime import datetime

from ..errors import EnvelopeError
from .header_reader import HeaderReader, damaged
from .model import (
    MAX_FILE_BYTES,
    MAX_HEADER_BYTES,
    MAX_PAYLOAD_BYTES,
    SUITE,
    TAG_BYTES,
    Envelope,
    Header,
)

MAGIC = b"ksm-storage envelope v1\n"

_ANY_MAGIC = rb"ksm-storage envelope v(0|[1-9][0-9]{0,17})\n"
_PAYLOAD_LINE = 64
# What no byte of an envelope may be (E4); deleting the allowed ones leaves the others.
_ALLOWED = bytes([0x0A, *range(0x20, 0x7F)])


def looks_like_envelope(raw: bytes) -> bool:
    """Tell whether the bytes begin as an envelope of any version does."""
    return raw.startswith(b"ksm-storage envelope v")


def decode(raw: bytes) -> Envelope:
    """Parse the bytes of an envelope.

    Raises:
        EnvelopeError: They break one of the rules E1 to E17.
    """
    if len(raw) > MAX_FILE_BYTES:
        raise damaged(f"the envelope is larger than {MAX_FILE_BYTES} bytes")
    _check_magic(raw)
    if raw.translate(None, _ALLOWED):
        raise damaged("the envelope holds a byte that is no printable ASCII")
    end = raw.find(b"\n\n", 0, MAX_HEADER_BYTES)
    if end < 0:
        raise damaged("the envelope's header has no end")
    lines = raw[len(MAGIC) : end].decode("ascii").split("\n")
    header, header_mac = HeaderReader(lines).read()
    envelope = Envelope(header, header_mac, _payload(raw[end + 2 :]))
    if encode(envelope) != raw:
        # The one check that stands for all of E10 and E11: whatever a lenient parser above let
        # through serialises to other bytes.
        raise damaged("the envelope is not written in its canonical form")
    return envelope


def encode(envelope: Envelope) -> bytes:
    """Serialise an envelope."""
    return b"".join(
        (
            mac_input(envelope.header),
            _line("header-mac", _base64(envelope.header_mac)),
            b"\n",
            *_payload_lines(envelope.ciphertext),
        )
    )


def mac_input(header: Header) -> bytes:
    """Return the bytes that the header MAC covers (S3)."""
    parts = [
        MAGIC,
        _line("suite", str(SUITE)),
        _line("envelope-id", header.envelope_id.hex()),
        _line("created", format_time(header.created)),
        _line("sealed", format_time(header.sealed)),
        _line("revision", str(header.revision)),
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
    return b"".join(parts)


def payload_aad(header: Header) -> bytes:
    """Return the immutable core, which a rewrap leaves as it is (S5)."""
    return b"".join(
        (
            MAGIC,
            _line("suite", str(SUITE)),
            _line("envelope-id", header.envelope_id.hex()),
            *_context_lines(header),
            _line("message-id", _base64(header.message_id)),
        )
    )


def format_time(time: datetime) -> str:
    """Return a time of the header as it is written (E9)."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _check_magic(raw: bytes) -> None:
    if raw.startswith(MAGIC):
        return
    other = re.match(_ANY_MAGIC, raw)
    if other:
        raise EnvelopeError(
            f"the envelope has version {int(other[1])}, which is not known here",
            hint="upgrade ksm-storage",
        )
    if not raw:
        raise EnvelopeError(
            "the file is empty: a save was interrupted before ksm-storage wrote it",
            hint="restore it from a backup",
        )
    if looks_like_envelope(raw):
        raise EnvelopeError(
            "the envelope's first line is damaged",
            hint="restore it from a backup; a transfer in text mode changes the ends of the lines",
        )
    raise EnvelopeError(
        "this is no envelope of ksm-storage",
        hint="seal a plain configuration with: ksm-storage protect PATH",
    )


def _payload(body: bytes) -> bytes:
    # The canonical comparison would find this too; the commonest damage gets its own message.
    if not body.endswith(b"\n"):
        raise damaged("the envelope's payload is cut off")
    try:
        ciphertext = base64.b64decode(body.replace(b"\n", b""), validate=True)
    except ValueError as exc:
        raise damaged("the envelope's payload is not base64") from exc
    if not TAG_BYTES <= len(ciphertext) <= MAX_PAYLOAD_BYTES + TAG_BYTES:
        raise damaged("the envelope's payload has an impossible length")
    return ciphertext


def _context_lines(header: Header) -> Iterator[bytes]:
    for name, value in header.context.items():
        yield _line("context", f"{name}={value}")


def _line(name: str, value: str) -> bytes:
    return f"{name}: {value}\n".encode("ascii")


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _payload_lines(ciphertext: bytes) -> Iterator[bytes]:
    text = base64.b64encode(ciphertext)
    for start in range(0, len(text), _PAYLOAD_LINE):
        yield text[start : start + _PAYLOAD_LINE] + b"\n"
