"""Make envelopes: seal a payload, seal it again, change its recipients or its DEK."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..contract.key_wrapper import DEK_BYTES
from ..errors import EnvelopeError, SettingsError
from ..keys.kek import Kek
from .codec import mac_input, payload_aad
from .derivation import PAYLOAD_NONCE, derive_keys, header_mac
from .model import (
    ENVELOPE_ID_BYTES,
    MAX_PAYLOAD_BYTES,
    MAX_RECIPIENTS,
    MAX_REVISION,
    MESSAGE_ID_BYTES,
    Envelope,
    Header,
    Recipient,
    checked_context,
    wrap_aad,
)


@dataclass(frozen=True, slots=True)
class NewDek:
    """Hold a DEK that was wrapped and has sealed nothing yet."""

    dek: bytes = field(repr=False)
    envelope_id: bytes
    context: Mapping[str, str]
    recipients: tuple[Recipient, ...]


def wrap_new_dek(keks: Sequence[Kek], *, context: Mapping[str, str] | None = None) -> NewDek:
    """Draw a DEK for a new envelope and wrap it once under each KEK.

    Raises:
        SettingsError: The context is not allowed, or there are no KEKs or too many.
        ProviderError, PluginError: A KEK could not wrap.
    """
    checked = checked_context(context)
    envelope_id = os.urandom(ENVELOPE_ID_BYTES)
    dek = os.urandom(DEK_BYTES)
    return NewDek(dek, envelope_id, checked, _wrapped(dek, keks, envelope_id, checked))


def seal(payload: bytes, new: NewDek, *, now: datetime | None = None) -> Envelope:
    """Seal a payload in a new envelope of revision 1."""
    time = now or current_time()
    header = Header(
        envelope_id=new.envelope_id,
        created=time,
        sealed=time,
        revision=1,
        context=new.context,
        recipients=new.recipients,
        message_id=b"",
        commitment=b"",
    )
    return _sealed(header, payload, new.dek)


def seal_again(
    envelope: Envelope, payload: bytes, *, dek: bytes, now: datetime | None = None
) -> Envelope:
    """Seal another payload in the same envelope, under the same DEK (M1); no KEK is needed."""
    header = envelope.header._replace(
        revision=_next_revision(envelope),
        sealed=now or current_time(),
    )
    return _sealed(header, payload, dek)


def rewrap(envelope: Envelope, recipients: Sequence[Recipient], *, dek: bytes) -> Envelope:
    """Give the envelope other recipients of the same DEK; the payload stays as it is (M2)."""
    _check_count(len(recipients))
    _check_different(recipients)
    header = envelope.header._replace(
        revision=_next_revision(envelope), recipients=tuple(recipients)
    )
    keys = derive_keys(dek, header.message_id)
    return Envelope(header, header_mac(keys, mac_input(header)), envelope.ciphertext)


def rekey(
    envelope: Envelope, payload: bytes, keks: Sequence[Kek], *, now: datetime | None = None
) -> tuple[Envelope, bytes]:
    """Seal the payload under a new DEK, wrapped under each KEK (M3); return that DEK too."""
    time = now or current_time()
    dek = os.urandom(DEK_BYTES)
    header = envelope.header
    header = header._replace(
        revision=_next_revision(envelope),
        created=time,
        sealed=time,
        recipients=_wrapped(dek, keks, header.envelope_id, header.context),
    )
    return _sealed(header, payload, dek), dek


def current_time() -> datetime:
    """Return the time as a header holds it: UTC, whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


def _sealed(header: Header, payload: bytes, dek: bytes) -> Envelope:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise EnvelopeError(
            f"the configuration is larger than {MAX_PAYLOAD_BYTES} bytes",
            hint="a Keeper configuration has about one kilobyte",
        )
    message_id = os.urandom(MESSAGE_ID_BYTES)
    keys = derive_keys(dek, message_id)
    header = header._replace(message_id=message_id, commitment=keys.commitment)
    # The message id was drawn two lines above, so this payload key seals no second message and
    # the constant nonce is used once with it (S4, S6).
    ciphertext = AESGCM(keys.payload_key).encrypt(PAYLOAD_NONCE, payload, payload_aad(header))
    return Envelope(header, header_mac(keys, mac_input(header)), ciphertext)


def _wrapped(
    dek: bytes, keks: Sequence[Kek], envelope_id: bytes, context: Mapping[str, str]
) -> tuple[Recipient, ...]:
    _check_count(len(keks))
    aad = wrap_aad(envelope_id, context)
    recipients = [Recipient.of(kek.uri.provider, kek.wrap(dek, aad=aad)) for kek in keks]
    _check_different(recipients)
    return tuple(recipients)


def _check_count(keys: int) -> None:
    if not 1 <= keys <= MAX_RECIPIENTS:
        raise SettingsError(f"an envelope has 1 to {MAX_RECIPIENTS} keys, not {keys}")


def _check_different(recipients: Sequence[Recipient]) -> None:
    # Two names given may resolve to one key, which only the key service can tell.
    keys = [recipient.key for recipient in recipients]
    if len(set(keys)) != len(keys):
        raise SettingsError("two of the keys given are one and the same key")


def _next_revision(envelope: Envelope) -> int:
    revision = envelope.header.revision + 1
    if revision > MAX_REVISION:
        raise EnvelopeError("the envelope's revision can grow no further")
    return revision
