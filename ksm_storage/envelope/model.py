"""What an envelope holds, as plain immutable data, and how much of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..contract.key_wrapper import KeyUri
from ..named_tuple import NamedTuple

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
SECRET_BYTES = 32
MAX_LINEAGE = 32
RESERVED_CONTEXT = "ksm-storage."

NO_CONTEXT: Mapping[str, str] = MappingProxyType({})


class Recipient(NamedTuple):
    """Hold one recipient: a KEK and the DEK that it wrapped."""

    key: KeyUri
    algorithm: str
    ciphertext: bytes


class Header(NamedTuple):
    """Hold everything before the payload except the header MAC.

    Attributes:
        envelope_id: 16 random bytes, the same for the life of the file.
        created: When the DEK was made, as the header writes it (E9).
        sealed: When the payload was last sealed, likewise.
        revision: Grows by one with each save, from 1.
        generation: How many DEKs the envelope has had: grows by one with each rekey, from 1.
        context: The user's authenticated labels, never secret.
        recipients: 1 to 16, any of which opens the envelope.
        message_id: 32 random bytes, new with each sealing.
        commitment: 32 bytes that commit to the DEK.
        lineage: The sealed secrets of the DEKs before this one; empty in generation 1.
    """

    envelope_id: bytes
    created: str
    sealed: str
    revision: int
    generation: int
    context: Mapping[str, str]
    recipients: tuple[Recipient, ...]
    message_id: bytes
    commitment: bytes
    lineage: bytes = b""


class Envelope(NamedTuple):
    """Hold a whole envelope: header, header MAC and the sealed payload with its tag."""

    header: Header
    header_mac: bytes
    ciphertext: bytes
