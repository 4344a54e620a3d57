"""Make envelopes: wrap a DEK, seal a payload, change the recipients or the DEK."""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..contract.key_wrapper import DEK_BYTES, Aad, KeyUri, WrappedDek
from ..errors import DecryptionError, EnvelopeError, KeyNotFoundError, SettingsError
from ..keys.discovery import OFFLINE
from ..keys.kek import Kek
from .codec import checked_context, format_time, lineage_aad, mac_input, payload_aad, wrap_aad
from .lineage import continuity_secret, open_lineage, seal_lineage
from .model import (
    ENVELOPE_ID_BYTES,
    MAX_PAYLOAD_BYTES,
    MAX_RECIPIENTS,
    MAX_REVISION,
    MESSAGE_ID_BYTES,
    Envelope,
    Header,
    Recipient,
)
from .opening import (
    PAYLOAD_NONCE,
    Candidate,
    OpenKek,
    derive_keys,
    header_mac,
    unwrap_dek,
)


@dataclass(frozen=True, slots=True)
class NewDek:
    """Hold a DEK that is wrapped and has not sealed anything yet."""

    dek: bytes = field(repr=False)
    envelope_id: bytes
    context: Mapping[str, str]
    recipients: tuple[Recipient, ...]


def wrap_new_dek(keks: Sequence[Kek], *, context: Mapping[str, str] | None = None) -> NewDek:
    """Draw a DEK for a new envelope and wrap it once under each KEK.

    Raises:
        SettingsError: The context is invalid, or there are no KEKs or too many.
        ProviderError, PluginError: A KEK could not wrap.
    """
    checked = checked_context(context)
    envelope_id = os.urandom(ENVELOPE_ID_BYTES)
    dek = os.urandom(DEK_BYTES)
    aad = wrap_aad(envelope_id, 1, checked)
    return NewDek(dek, envelope_id, checked, _wrapped(dek, keks, aad))


def open_and_wrap_new_dek(
    keys: Sequence[KeyUri], open_kek: OpenKek, *, context: Mapping[str, str] | None = None
) -> NewDek:
    """Open the KEK of each key, all of them before any key service is called, and wrap a new DEK.

    Raises:
        SettingsError: The context is invalid, or there are no keys or too many.
        ProviderError, PluginError: A KEK could not be opened or could not wrap.
    """
    with ExitStack() as stack:
        keks = [stack.enter_context(open_kek(key)) for key in keys]
        return wrap_new_dek(keks, context=context)


def wrap_and_verify_new_dek(
    keys: Sequence[KeyUri], open_kek: OpenKek, *, context: Mapping[str, str] | None = None
) -> NewDek:
    """Wrap a new DEK for a file that does not exist yet, and unwrap it again through each key.

    Raises:
        SettingsError: The context is invalid, there are no keys or too many, or all of them are
            kept offline.
        ProviderError, PluginError: A KEK could not be opened, wrap or unwrap.
        DecryptionError: A key unwraps something else.
    """
    refuse_only_offline(keys)
    new = open_and_wrap_new_dek(keys, open_kek, context=context)
    # Never written. Its message id is its own, so the DEK seals the file with other keys.
    sample = seal(b"{}", new)
    pairs = zip(new.recipients, keys, strict=True)
    verify_unwrap(sample, [Candidate(*pair) for pair in pairs], new.dek, open_kek)
    return new


def seal(payload: bytes, new: NewDek, *, now: datetime | None = None) -> Envelope:
    """Seal a payload in a new envelope of revision 1."""
    time = format_time(now or current_time())
    header = Header(
        envelope_id=new.envelope_id,
        created=time,
        sealed=time,
        revision=1,
        generation=1,
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
        sealed=format_time(now or current_time()),
    )
    return _sealed(header, payload, dek)


def rewrap(envelope: Envelope, recipients: Sequence[Recipient], *, dek: bytes) -> Envelope:
    """Give the envelope other recipients of the same DEK; the payload is unchanged (M2)."""
    _check_count(len(recipients))
    _check_different(recipients)
    header = envelope.header._replace(
        revision=_next_revision(envelope), recipients=tuple(recipients)
    )
    keys = derive_keys(dek, header.message_id)
    return Envelope(header, header_mac(keys, mac_input(header)), envelope.ciphertext)


def rekey(
    envelope: Envelope,
    payload: bytes,
    keks: Sequence[Kek],
    *,
    old_dek: bytes,
    now: datetime | None = None,
) -> tuple[Envelope, bytes]:
    """Seal the payload under a new DEK, wrapped under each KEK (M3); return that DEK too.

    The new envelope is of the next generation, and its lineage proves that the new DEK took the
    place of the old one.
    """
    time = format_time(now or current_time())
    dek = os.urandom(DEK_BYTES)
    header, generation = envelope.header, envelope.header.generation + 1
    envelope_id = header.envelope_id
    secrets = [continuity_secret(old_dek, envelope_id), *lineage_of(envelope, old_dek)]
    # The DEK was drawn above, so this is the one lineage that is sealed with it (S7).
    lineage = seal_lineage(
        secrets, dek=dek, envelope_id=envelope_id, aad=lineage_aad(envelope_id, generation)
    )
    header = header._replace(
        revision=_next_revision(envelope),
        generation=generation,
        created=time,
        sealed=time,
        recipients=_wrapped(dek, keks, wrap_aad(envelope_id, generation, header.context)),
        lineage=lineage,
    )
    return _sealed(header, payload, dek), dek


def lineage_of(envelope: Envelope, dek: bytes) -> Sequence[bytes]:
    """Return the continuity secrets of the DEKs before this one, newest first.

    Raises:
        DecryptionError: They were not sealed under this DEK.
    """
    header = envelope.header
    if not header.lineage:
        return ()
    aad = lineage_aad(header.envelope_id, header.generation)
    return open_lineage(header.lineage, dek=dek, envelope_id=header.envelope_id, aad=aad)


def wrap_dek(
    envelope: Envelope, dek: bytes, keys: Iterable[KeyUri], open_kek: OpenKek
) -> dict[KeyUri, Recipient]:
    """Wrap the DEK of an envelope once under each key.

    Raises:
        SettingsError, PluginError, ProviderError: A key cannot be used.
    """
    header = envelope.header
    aad = wrap_aad(header.envelope_id, header.generation, header.context)
    wraps: dict[KeyUri, Recipient] = {}
    for key in keys:
        with open_kek(key) as kek:
            wraps[key] = recipient_of(key.provider, kek.wrap(dek, aad=aad))
    return wraps


def verify_unwrap(
    envelope: Envelope, candidates: Iterable[Candidate], dek: bytes, open_kek: OpenKek
) -> tuple[str, ...]:
    """Unwrap the DEK through each candidate, and return the keys that could not be asked.

    Those are keys whose secret is kept offline and was not given. Any other key must unwrap.

    Raises:
        DecryptionError: A key unwraps something else.
        SettingsError, PluginError, ProviderError: A key can wrap but not unwrap.
    """
    unproven: list[str] = []
    for candidate in candidates:
        try:
            # Through a fresh key wrapper: what the one that wrapped may still know proves nothing.
            unwrapped = unwrap_dek(envelope, candidate, open_kek)
        except KeyNotFoundError:
            if candidate.key.provider not in OFFLINE:
                raise
            unproven.append(str(candidate.recipient.key))
            continue
        if not hmac.compare_digest(unwrapped, dek):
            raise DecryptionError(
                "the key does not unwrap what it wrapped",
                key=str(candidate.key),
                operation="unwrap",
            )
    return tuple(unproven)


def refuse_only_offline(keys: Sequence[KeyUri]) -> None:
    """Refuse to leave a file with only keys that no application can open it with.

    Raises:
        SettingsError: All keys are kept offline.
    """
    if all(key.provider in OFFLINE for key in keys):
        raise SettingsError(
            "only recovery keys would open the file, and their secrets are kept offline",
            hint="add a key that the application can use",
        )


def current_time() -> datetime:
    """Return the current time as a header holds it: UTC, whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


def _sealed(header: Header, payload: bytes, dek: bytes) -> Envelope:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise EnvelopeError(
            f"the configuration is larger than {MAX_PAYLOAD_BYTES} bytes",
            hint="a Keeper configuration is usually about one kilobyte",
        )
    message_id = os.urandom(MESSAGE_ID_BYTES)
    keys = derive_keys(dek, message_id)
    header = header._replace(message_id=message_id, commitment=keys.commitment)
    # The message id was drawn two lines above, so this payload key seals no second message and
    # the constant nonce is used once with it (S4, S6).
    ciphertext = AESGCM(keys.payload_key).encrypt(PAYLOAD_NONCE, payload, payload_aad(header))
    return Envelope(header, header_mac(keys, mac_input(header)), ciphertext)


def _wrapped(dek: bytes, keks: Sequence[Kek], aad: Aad) -> tuple[Recipient, ...]:
    _check_count(len(keks))
    recipients = [recipient_of(kek.uri.provider, kek.wrap(dek, aad=aad)) for kek in keks]
    _check_different(recipients)
    return tuple(recipients)


def recipient_of(provider: str, wrapped: WrappedDek) -> Recipient:
    """Return the recipient for a DEK that a provider's KEK wrapped."""
    return Recipient(KeyUri(provider, wrapped.key_id), wrapped.algorithm, wrapped.ciphertext)


def _check_count(keys: int) -> None:
    if not 1 <= keys <= MAX_RECIPIENTS:
        raise SettingsError(f"an envelope must have 1 to {MAX_RECIPIENTS} keys, not {keys}")


def _check_different(recipients: Sequence[Recipient]) -> None:
    # Two names given may resolve to one key, which only the key service can tell.
    keys = [recipient.key for recipient in recipients]
    if len(set(keys)) != len(keys):
        raise SettingsError("two of the given keys are the same key")


def _next_revision(envelope: Envelope) -> int:
    revision = envelope.header.revision + 1
    if revision > MAX_REVISION:
        raise EnvelopeError("the envelope's revision has reached its maximum")
    return revision
