"""What must hold for any bytes that a parser of ours is given."""

from __future__ import annotations

from codecs import BOM_UTF8

from ksm_storage.config.document import (
    Document,
    InvalidConfigError,
    format_base64,
    format_json,
    read_payload,
    write_payload,
)
from ksm_storage.config.ini_form import format_ini, parse_ini
from ksm_storage.config.recognise import is_plain, recognise
from ksm_storage.envelope.codec import decode, encode, looks_like_envelope
from ksm_storage.errors import EnvelopeError, SettingsError, StorageError
from ksm_storage.files.reading import settled_content


class BrokenPropertyError(Exception):
    """Report a property that does not hold."""


def check_parsers(raw: bytes) -> None:
    """Give the bytes to every parser.

    Raises:
        BrokenPropertyError: One of them accepted what it cannot say again.
        Exception: One of them raised what it does not document.
    """
    for content in {raw, _settled(raw)}:
        _check_envelope(content)
        _check_plain(content)
        _check_payload(content)


def _settled(raw: bytes) -> bytes:
    settled = settled_content(raw)
    _must(settled in raw, "the settled content is a part of the file")
    _must(b"\0" in raw or settled == raw, "a file without a NUL is settled")
    return settled


def _check_envelope(raw: bytes) -> None:
    try:
        envelope = decode(raw)
    except EnvelopeError:
        return
    _must(looks_like_envelope(raw), "an envelope looks like one")
    # Only what a transfer in text mode does to a whole file may differ (E18).
    as_text = raw.removeprefix(BOM_UTF8).replace(b"\r\n", b"\n")
    _must(encode(envelope) in (as_text, as_text + b"\n"), "an envelope is written as it was")
    _must(not is_plain(raw), "an envelope is not plain")


def _check_plain(raw: bytes) -> None:
    try:
        document = recognise(raw, name="it").document
    except StorageError:
        return
    _must(read_payload(write_payload(document)) == document, "a payload says the same")
    if document.is_single:
        _check_single(document)
    try:
        text = format_ini(document)
    except SettingsError:
        return
    _must(document.is_single or parse_ini(text) == document, "an ini says the same")


def _check_single(document: Document) -> None:
    config = document.profiles[""]
    for text in (format_json(config), format_base64(config)):
        _must(recognise(text, name="it").document == document, "a plain form says the same")


def _check_payload(raw: bytes) -> None:
    try:
        document = read_payload(raw)
    except InvalidConfigError:
        return
    _must(read_payload(write_payload(document)) == document, "a payload says the same")


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise BrokenPropertyError(f"it does not hold that {what}")
