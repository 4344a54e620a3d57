"""Read the lines of a header in their fixed order."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType

from ..contract.key_uri import KeyUri
from ..contract.key_wrapper import MAX_ALGORITHM, MAX_WRAPPED_DEK
from ..errors import EnvelopeError, SettingsError
from .model import (
    ENVELOPE_ID_BYTES,
    MAX_RECIPIENTS,
    MESSAGE_ID_BYTES,
    SUITE,
    Header,
    Recipient,
    context_problem,
)

_REVISION = re.compile(r"[1-9][0-9]{0,17}")
_SUITE = re.compile(r"0|[1-9][0-9]{0,17}")
# Python 3.14 reads 24:00:00 as the next midnight, so the hours are bounded here.
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}Z")
_ENVELOPE_ID = re.compile(rf"[0-9a-f]{{{2 * ENVELOPE_ID_BYTES}}}")
_ALGORITHM = re.compile(rf"[!-~]{{1,{MAX_ALGORITHM}}}")
_FIRST_YEAR = 1970


def damaged(what: str) -> EnvelopeError:
    """Return the error for bytes that begin as an envelope and break a rule of its form."""
    return EnvelopeError(what, hint="the file is damaged: restore it from a backup")


class HeaderReader:
    """Take the lines of one header, from ``suite`` to ``header-mac``, one after the other."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._next = 0

    def read(self) -> tuple[Header, bytes]:
        """Return the header and its MAC.

        Raises:
            EnvelopeError: A line is missing, out of place or not of its form.
        """
        self._suite()
        envelope_id = self._envelope_id()
        created, sealed = self._time("created"), self._time("sealed")
        header = Header(
            envelope_id=envelope_id,
            created=created,
            sealed=sealed,
            revision=int(self._matching("revision", _REVISION)),
            context=self._context(),
            recipients=self._recipients(),
            message_id=self._bytes("message-id", MESSAGE_ID_BYTES),
            commitment=self._bytes("commitment", 32),
        )
        header_mac = self._bytes("header-mac", 32)
        if self._next != len(self._lines):
            raise damaged("the envelope's header has a line that does not belong there")
        return header, header_mac

    def _suite(self) -> None:
        suite = int(self._matching("suite", _SUITE))
        if suite != SUITE:
            raise EnvelopeError(
                f"the envelope has suite {suite}, which is not known here",
                hint="upgrade ksm-storage",
            )

    def _envelope_id(self) -> bytes:
        return bytes.fromhex(self._matching("envelope-id", _ENVELOPE_ID))

    def _time(self, name: str) -> datetime:
        text = self._matching(name, _TIME)
        try:
            # Not strptime: importing its locale tables would cost more than the whole parse.
            time = datetime.fromisoformat(text[:-1]).replace(tzinfo=UTC)
        except ValueError as exc:
            raise _malformed(name) from exc
        if time.year < _FIRST_YEAR:
            raise _malformed(name)
        return time

    def _context(self) -> Mapping[str, str]:
        context: dict[str, str] = {}
        while self._peek() == "context":
            name, _, value = self._value("context").partition("=")
            if name in context:
                raise _malformed("context")
            context[name] = value
        if context_problem(context) is not None or list(context) != sorted(context):
            raise _malformed("context")
        return MappingProxyType(context)

    def _recipients(self) -> tuple[Recipient, ...]:
        recipients: dict[KeyUri, Recipient] = {}
        while not recipients or self._peek() == "recipient":
            recipient = self._recipient()
            if recipient.key in recipients or len(recipients) == MAX_RECIPIENTS:
                raise damaged("the envelope names a recipient twice, or too many")
            recipients[recipient.key] = recipient
        return tuple(recipients.values())

    def _recipient(self) -> Recipient:
        try:
            key = KeyUri.parse(self._value("recipient"))
        except SettingsError as exc:
            raise _malformed("recipient") from exc
        algorithm = self._matching("algorithm", _ALGORITHM)
        return Recipient(key, algorithm, self._bytes("wrapped-dek"))

    def _bytes(self, name: str, length: int | None = None) -> bytes:
        try:
            raw = base64.b64decode(self._value(name).encode("ascii"), validate=True)
        except ValueError as exc:
            raise _malformed(name) from exc
        if not 1 <= len(raw) <= MAX_WRAPPED_DEK or length not in (None, len(raw)):
            raise _malformed(name)
        return raw

    def _matching(self, name: str, form: re.Pattern[str]) -> str:
        value = self._value(name)
        if not form.fullmatch(value):
            raise _malformed(name)
        return value

    def _value(self, name: str) -> str:
        if self._peek() != name:
            raise damaged(f"the envelope's header has no {name!r} where it belongs")
        value = self._lines[self._next][len(name) + 2 :]
        self._next += 1
        return value

    def _peek(self) -> str | None:
        if self._next == len(self._lines):
            return None
        name, separator, _ = self._lines[self._next].partition(": ")
        return name if separator else None


def _malformed(name: str) -> EnvelopeError:
    return damaged(f"the envelope's header has a malformed {name!r}")
