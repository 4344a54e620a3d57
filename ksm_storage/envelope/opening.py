"""Open envelopes: unwrap the DEK through a recipient, then check and decrypt in a fixed order.

The key derivation of suite 1 is at the end of the file; sealing uses it too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidKey, InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..audit.events import emit
from ..contract.key_wrapper import Aad, KeyUri, WrappedDek
from ..errors import (
    DecryptionError,
    KsmStorageError,
    PluginError,
    ProviderError,
    UnavailableError,
)
from ..keys.discovery import LOCAL, OFFLINE, find_plugin
from ..keys.kek import Kek
from ..named_tuple import NamedTuple
from ..process import no_core_dumps
from .codec import mac_input, payload_aad, wrap_aad
from .model import Envelope, Recipient

if TYPE_CHECKING:
    from ..keys.dek_cache import DekCache
    from ..keys.trust_rules import TrustRule
    from .hedging import OpenTimeouts

OpenKek = Callable[[KeyUri], Kek]

# A constant nonce is safe with a payload key and with nothing else: the key is derived from a
# message id that is drawn anew with each sealing, so it never seals a second message (S4, S6).
PAYLOAD_NONCE = bytes(12)

_LENGTH = 32
_PAYLOAD_KEY = b"\x04\x78DERIVEKEY"
_COMMITMENT = b"COMMITKEY"
_HEADER_MAC_KEY = b"ksm-storage header mac v1"


class Opened(NamedTuple):
    """Hold what opening an envelope gave, and through which recipient.

    Attributes:
        dek: The data key.
        payload: The decrypted payload.
        recipient: The recipient that opened it.
        cached: Whether its data key came from the cache, without a call to the key service.
    """

    dek: bytes
    payload: bytes
    recipient: Recipient
    cached: bool = False

    def __repr__(self) -> str:
        # Neither the DEK nor the payload.
        return f"<Opened by {self.recipient.key}>"


class Candidate(NamedTuple):
    """Hold a recipient, and the URI under which its KEK is opened (its own or a trusted one)."""

    recipient: Recipient
    key: KeyUri


def open_envelope(
    envelope: Envelope,
    *,
    trusted: Sequence[KeyUri] | None = None,
    required: Sequence[TrustRule] = (),
    context: Mapping[str, str] | None = None,
    open_kek: OpenKek = Kek.open,
    timeouts: OpenTimeouts | None = None,
    cache: DekCache | None = None,
) -> Opened:
    """Unwrap the DEK through the first recipient that can, and decrypt the payload.

    Args:
        envelope: The parsed envelope.
        trusted: The only KEKs that may be used; all if None.
        required: Rules whose keys a recipient must satisfy as well, each of them (T1).
        context: The exact context that the envelope must have; any if None.
        open_kek: Opens the KEK of a key URI.
        timeouts: How long the recipients may take; without them they are tried one after
            another, in this thread, and each takes what its plugin allows.
        cache: Holds data keys from before; asked for recipients that passed all checks (K3).

    Raises:
        DecryptionError: The wrong KEK, the wrong context, altered data, or no trusted recipient;
            for the last, no key service was called.
        ProviderError, PluginError, SettingsError: The KEK could not be used.
    """
    check_context(envelope, context)
    found = candidates(envelope.header.recipients, trusted, required=required)
    if cache is not None and (known := _open_from_cache(envelope, found, cache)) is not None:
        return known

    def attempt(place: int) -> Opened:
        candidate = found[place]
        try:
            dek = unwrap_dek(envelope, candidate, open_kek)
            opened = Opened(dek, unlock(envelope, dek), candidate.recipient)
            if cache is not None:
                cache.keep(dek, candidate.key, wrapped_dek(candidate.recipient), _aad(envelope))
            return opened
        except KsmStorageError as exc:
            exc.key = exc.key or str(found[place].key)
            raise

    opened, causes = None, list[KsmStorageError]()
    if timeouts is not None:
        # Loaded where it is asked for: threads and queues are not part of a usual start.
        from .hedging import attempt_in_time

        opened, causes = attempt_in_time([each.key for each in found], attempt, timeouts)
    else:
        for place in range(len(found)):
            try:
                opened = attempt(place)
                break
            except KsmStorageError as exc:
                # Any failure of one recipient lets the next one try (R5): credentials may exist
                # for the second cloud only.
                causes.append(exc)
    if opened is not None:
        if causes:
            failed = [cause.key for cause in causes]
            key = opened.recipient.key
            emit("failed_over", header=envelope.header, keys=[key], instead_of=failed)
        return opened
    if len(causes) == 1:
        # Unchanged: its own cause is what the key service said.
        raise causes[0]
    raise _none_opened(causes) from causes[-1]


def unwrap_dek(envelope: Envelope, candidate: Candidate, open_kek: OpenKek) -> bytes:
    """Unwrap the DEK through one candidate, with one call to its key service."""
    with open_kek(candidate.key) as kek:
        return kek.unwrap(wrapped_dek(candidate.recipient), aad=_aad(envelope))


def _open_from_cache(
    envelope: Envelope, found: Iterable[Candidate], cache: DekCache
) -> Opened | None:
    aad = _aad(envelope)
    for candidate in found:
        wrapped = wrapped_dek(candidate.recipient)
        dek = cache.find(candidate.key, wrapped, aad)
        if dek is None:
            continue
        try:
            return Opened(dek, unlock(envelope, dek), candidate.recipient, cached=True)
        except DecryptionError:
            # The file is altered, or the entry is: the key service decides which (K7).
            cache.discard(candidate.key, wrapped, aad)
    return None


def _aad(envelope: Envelope) -> Aad:
    header = envelope.header
    return wrap_aad(header.envelope_id, header.generation, header.context)


def wrapped_dek(recipient: Recipient) -> WrappedDek:
    """Return a recipient's wrapped DEK in the form that crosses the seam."""
    return WrappedDek(recipient.key.key_id, recipient.algorithm, recipient.ciphertext)


def unlock(envelope: Envelope, dek: bytes) -> bytes:
    """Return the payload of an envelope whose DEK is known.

    Raises:
        DecryptionError: The wrong DEK or altered data; the message is the same for both (R3).
    """
    header = envelope.header
    try:
        check_commitment(dek, header.message_id, header.commitment)
        # Not derived a second time: it is the one that was checked.
        keys = DerivedKeys(
            payload_key=_expanded(dek, header.message_id, _PAYLOAD_KEY),
            commitment=header.commitment,
            header_mac_key=_expanded(dek, header.message_id, _HEADER_MAC_KEY),
        )
        check_header_mac(keys, mac_input(header), envelope.header_mac)
        with no_core_dumps():
            return AESGCM(keys.payload_key).decrypt(
                PAYLOAD_NONCE, envelope.ciphertext, payload_aad(header)
            )
    except (InvalidKey, InvalidSignature, InvalidTag) as exc:
        raise _does_not_open() from exc


def is_dek_of(envelope: Envelope, dek: bytes) -> bool:
    """Tell whether the envelope commits to this DEK; nothing else is checked."""
    try:
        check_commitment(dek, envelope.header.message_id, envelope.header.commitment)
    except InvalidKey:
        return False
    return True


def check_context(envelope: Envelope, context: Mapping[str, str] | None) -> None:
    """Refuse an envelope whose context is not exactly the one that is asked for.

    Raises:
        DecryptionError: It is another one.
    """
    if context is not None and dict(context) != dict(envelope.header.context):
        raise DecryptionError(
            f"the envelope has the context {_shown(envelope.header.context)}, "
            f"not {_shown(context)}",
            hint="check that this is the right file and that the context is correct",
        )


def candidates(
    recipients: Iterable[Recipient],
    trusted: Sequence[KeyUri] | None,
    *,
    required: Sequence[TrustRule] = (),
) -> list[Candidate]:
    """Return the recipients that may be tried: local ones first, offline ones last.

    Otherwise the order is the file's.

    Raises:
        DecryptionError: None of them is trusted.
    """
    listed = [rule for rule in required if rule.keys is not None]
    sets = [keys for keys in (trusted, *(rule.keys for rule in listed)) if keys is not None]
    found = [c for c in (_candidate(r, sets) for r in recipients) if c is not None]
    if not found and listed:
        sources = " and ".join(dict.fromkeys(rule.source for rule in listed))
        raise DecryptionError(
            f"none of the keys that are trusted by {sources} is a recipient of the envelope",
            hint="'ksm-storage inspect' lists its keys, 'ksm-storage doctor' the trust rules",
        )
    if not found:
        raise DecryptionError(
            "none of the trusted keys is a recipient of the envelope",
            hint="'ksm-storage inspect' lists its keys; pass one of them if you trust it",
        )
    return sorted(found, key=lambda candidate: turn_of(candidate.key.provider))


def turn_of(provider: str) -> int:
    """Return when a recipient is tried: local keys first, offline keys last."""
    # The first need no network; the secret of the last is seldom there.
    if provider in LOCAL:
        return 0
    return 2 if provider in OFFLINE else 1


def _candidate(recipient: Recipient, sets: Sequence[Sequence[KeyUri]]) -> Candidate | None:
    # The KEK is opened under the *trusted* name: that it stands for this recipient's key is for
    # the key service to confirm, not for the file to claim.
    names = [_trusted_name(recipient.key, keys) for keys in sets]
    if None in names:
        return None
    # Of several names the narrowest: one that is not the recipient's own may stand for more.
    return Candidate(recipient, next((n for n in names if n and n != recipient.key), recipient.key))


def _trusted_name(key: KeyUri, trusted: Sequence[KeyUri]) -> KeyUri | None:
    if key in trusted:
        return key
    return next((each for each in trusted if covers(each, key)), None)


def covers(trusted: KeyUri, key: KeyUri) -> bool:
    """Tell whether a key that a caller named stands for a recipient's key; calls no network."""
    if trusted == key:
        return True
    if trusted.provider != key.provider:
        return False
    try:
        return find_plugin(key.provider).key_covers(trusted.key_id, key.key_id)
    except PluginError:
        return False


def _does_not_open() -> DecryptionError:
    return DecryptionError(
        "the envelope does not open: wrong key, wrong context or altered data",
        hint="restore the file from a backup, or open it with the key that sealed it",
    )


def _none_opened(causes: Sequence[KsmStorageError]) -> KsmStorageError:
    listed = "; ".join(f"{cause.key}: {cause.message}" for cause in causes)
    error = _shared_class(causes)(
        f"none of the {len(causes)} recipients can open the envelope: {listed}",
        hint="; ".join(dict.fromkeys(cause.hint for cause in causes if cause.hint)) or None,
    )
    error.causes = tuple(causes)
    return error


def _shared_class(causes: Sequence[KsmStorageError]) -> type[KsmStorageError]:
    # A later try may open it, so the caller must be able to see that from the class.
    if any(cause.retryable for cause in causes):
        return UnavailableError
    classes = {type(cause) for cause in causes}
    return classes.pop() if len(classes) == 1 else ProviderError


def _shown(context: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in context.items()) or "(none)"


class DerivedKeys(NamedTuple):
    """Hold what suite 1 derives for one message (S2); only the commitment is public."""

    payload_key: bytes
    commitment: bytes
    header_mac_key: bytes

    def __repr__(self) -> str:
        # Every part but the commitment is a key.
        return f"<DerivedKeys of commitment {self.commitment.hex()}>"


def derive_keys(dek: bytes, message_id: bytes) -> DerivedKeys:
    """Derive the keys of one message from its DEK.

    Source: RFC 5869; AWS Encryption SDK algorithm suites, 0x0478 (HKDF with SHA-512, key
    commitment), for the payload key and the commitment.
    """
    return DerivedKeys(
        payload_key=_expanded(dek, message_id, _PAYLOAD_KEY),
        commitment=_expanded(dek, message_id, _COMMITMENT),
        header_mac_key=_expanded(dek, message_id, _HEADER_MAC_KEY),
    )


def check_commitment(dek: bytes, message_id: bytes, expected: bytes) -> None:
    """Compare the commitment to a DEK in constant time (R2).

    Raises:
        cryptography.exceptions.InvalidKey: The commitment is to another DEK.
    """
    HKDF(SHA512(), _LENGTH, message_id, _COMMITMENT).verify(dek, expected)


def header_mac(keys: DerivedKeys, covered: bytes) -> bytes:
    """Return the MAC over the bytes of a header (S3)."""
    return _mac(keys, covered).finalize()


def check_header_mac(keys: DerivedKeys, covered: bytes, expected: bytes) -> None:
    """Compare the MAC over the bytes of a header in constant time.

    Raises:
        cryptography.exceptions.InvalidSignature: It is another one.
    """
    _mac(keys, covered).verify(expected)


def _mac(keys: DerivedKeys, covered: bytes) -> HMAC:
    mac = HMAC(keys.header_mac_key, SHA256())
    mac.update(covered)
    return mac


def _expanded(dek: bytes, message_id: bytes, info: bytes) -> bytes:
    return HKDF(SHA512(), _LENGTH, message_id, info).derive(dek)
