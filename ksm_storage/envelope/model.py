"""What an envelope holds, as plain immutable data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from ..contract.aad import Aad
from ..contract.key_uri import KeyUri
from ..contract.key_wrapper import WrappedDek
from ..errors import SettingsError

SUITE = 1
MAX_FILE_BYTES = 2_097_152
MAX_HEADER_BYTES = 262_144
MAX_PAYLOAD_BYTES = 1_048_576
MAX_RECIPIENTS = 16
MAX_CONTEXT_PAIRS = 16
MAX_CONTEXT_BYTES = 1_024
MAX_REVISION = 999_999_999_999_999_999
ENVELOPE_ID_BYTES = 16
MESSAGE_ID_BYTES = 32
TAG_BYTES = 16
RESERVED_CONTEXT = "ksm-storage."

_CONTEXT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CONTEXT_VALUE = re.compile(r"[!-~](?:[ -~]{0,254}[!-~])?")

NO_CONTEXT: Mapping[str, str] = MappingProxyType({})


class Recipient(NamedTuple):
    """Hold one entry of the header: a KEK and the DEK that it wrapped."""

    key: KeyUri
    algorithm: str
    ciphertext: bytes

    @classmethod
    def of(cls, provider: str, wrapped: WrappedDek) -> Recipient:
        """Return the recipient for a DEK that a provider's KEK wrapped."""
        return cls(KeyUri(provider, wrapped.key_id), wrapped.algorithm, wrapped.ciphertext)

    @property
    def wrapped(self) -> WrappedDek:
        """Return the wrapped DEK in the form that crosses the seam."""
        return WrappedDek(self.key.key_id, self.algorithm, self.ciphertext)


class Header(NamedTuple):
    """Hold all that stands before the payload, the header MAC excepted.

    Attributes:
        envelope_id: 16 random bytes, the same for the life of the file.
        created: When the DEK was made, in UTC without microseconds.
        sealed: When the payload was last sealed, likewise.
        revision: Grows by one with each save, from 1.
        context: The user's authenticated labels, never secret.
        recipients: 1 to 16, any of which opens the envelope.
        message_id: 32 random bytes, new with each sealing.
        commitment: 32 bytes that commit to the DEK.
    """

    envelope_id: bytes
    created: datetime
    sealed: datetime
    revision: int
    context: Mapping[str, str]
    recipients: tuple[Recipient, ...]
    message_id: bytes
    commitment: bytes

    @property
    def wrap_aad(self) -> Aad:
        """Return the AAD under which each recipient's DEK is wrapped (W1)."""
        return wrap_aad(self.envelope_id, self.context)


class Envelope(NamedTuple):
    """Hold a whole envelope: header, header MAC and the sealed payload with its tag."""

    header: Header
    header_mac: bytes
    ciphertext: bytes


def wrap_aad(envelope_id: bytes, context: Mapping[str, str]) -> Aad:
    """Return the AAD of the wrapped DEKs of an envelope (W1)."""
    return Aad(
        {
            **context,
            "ksm-storage.format": "envelope v1",
            "ksm-storage.purpose": "wrap-dek",
            "ksm-storage.envelope-id": envelope_id.hex(),
        }
    )


def context_problem(context: Mapping[str, str]) -> str | None:
    """Return what is wrong with a context (E12, E13), or None."""
    if len(context) > MAX_CONTEXT_PAIRS:
        return f"has more than {MAX_CONTEXT_PAIRS} labels"
    if sum(len(name) + len(value) for name, value in context.items()) > MAX_CONTEXT_BYTES:
        return f"is longer than {MAX_CONTEXT_BYTES} bytes"
    for name, value in context.items():
        if not _CONTEXT_NAME.fullmatch(name) or name.startswith(RESERVED_CONTEXT):
            return "has a name that is not allowed"
        if not _CONTEXT_VALUE.fullmatch(value):
            return "has a value that is not allowed"
    return None


def checked_context(context: Mapping[str, str] | None) -> Mapping[str, str]:
    """Return a private copy of a context that a user gave, sorted by name.

    Raises:
        SettingsError: It is not a map of the strings that E12 and E13 allow.
    """
    given = dict(context or NO_CONTEXT)
    if not all(isinstance(part, str) for pair in given.items() for part in pair):
        raise SettingsError("the context is not a map of strings to strings")
    problem = context_problem(given)
    if problem is not None:
        raise SettingsError(
            f"the context {problem}",
            hint="names: letters, digits, '.', '_', '-', not beginning with 'ksm-storage.'; "
            "values: printable ASCII, at most 256 characters",
        )
    return MappingProxyType(dict(sorted(given.items())))
