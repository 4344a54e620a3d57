"""Open envelopes: unwrap the DEK through a recipient, then check and decrypt in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import InvalidKey, InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..audit.events import emit
from ..contract.key_uri import KeyUri
from ..core_dumps import no_core_dumps
from ..errors import (
    DecryptionError,
    KsmStorageError,
    PluginError,
    ProviderError,
    UnavailableError,
)
from ..keys.discovery import find_plugin
from ..keys.kek import Kek
from ..keys.known_providers import LOCAL, OFFLINE
from .codec import mac_input, payload_aad
from .derivation import PAYLOAD_NONCE, check_commitment, check_header_mac, derive_keys
from .model import Envelope, Recipient

if TYPE_CHECKING:
    from .trying import Pace

OpenKek = Callable[[KeyUri], Kek]


class Opened(NamedTuple):
    """Hold what opening an envelope gave, and through which recipient."""

    dek: bytes
    payload: bytes
    recipient: Recipient

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
    context: Mapping[str, str] | None = None,
    open_kek: OpenKek = Kek.open,
    pace: Pace | None = None,
) -> Opened:
    """Unwrap the DEK through the first recipient that can, and decrypt the payload.

    Args:
        envelope: The parsed envelope.
        trusted: The only KEKs that may be used; all if None.
        context: The exact context that the envelope must have; any if None.
        open_kek: Opens the KEK of a key URI.
        pace: How long the recipients may take; without one they are tried one after another, in
            this thread, and each takes what its plugin allows.

    Raises:
        DecryptionError: A wrong KEK, a wrong context, altered data, or no trusted recipient;
            for the last, no key service was called.
        ProviderError, PluginError, SettingsError: The KEK could not be used.
    """
    check_context(envelope, context)
    found = candidates(envelope.header.recipients, trusted)

    def attempt(place: int) -> Opened:
        return _opened(envelope, found[place], open_kek)

    opened, causes = _tried(attempt, [c.key for c in found], pace)
    if opened is not None:
        if causes:
            failed = [cause.key for cause in causes]
            key = opened.recipient.key
            emit("failed_over", header=envelope.header, keys=[key], instead_of=failed)
        return opened
    if len(causes) == 1:
        # As it came: its own cause is what the key service said.
        raise causes[0]
    raise _none_opened(causes) from causes[-1]


def unwrap_dek(envelope: Envelope, candidate: Candidate, open_kek: OpenKek) -> bytes:
    """Unwrap the DEK through one candidate, with one call to its key service."""
    with open_kek(candidate.key) as kek:
        return kek.unwrap(candidate.recipient.wrapped, aad=envelope.header.wrap_aad)


def unlock(envelope: Envelope, dek: bytes) -> bytes:
    """Return the payload of an envelope whose DEK is known.

    Raises:
        DecryptionError: Another DEK or altered data; the message is the same for both (R3).
    """
    header = envelope.header
    keys = derive_keys(dek, header.message_id)
    try:
        check_commitment(dek, header.message_id, header.commitment)
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
            hint="this is another file than the one expected, or the context given is wrong",
        )


def candidates(
    recipients: Iterable[Recipient], trusted: Sequence[KeyUri] | None
) -> list[Candidate]:
    """Return the recipients that may be tried: local ones first, offline ones last.

    Otherwise the order is the file's.

    Raises:
        DecryptionError: None of them is trusted.
    """
    found = [c for c in (_candidate(r, trusted) for r in recipients) if c is not None]
    if not found:
        raise DecryptionError(
            "the envelope is under none of the keys that are trusted here",
            hint="'ksm-storage inspect' shows its keys; give one of them if you trust it",
        )
    return sorted(found, key=lambda candidate: _rank(candidate.key.provider))


def _rank(provider: str) -> int:
    # Local keys first, which need no network; offline keys last, whose secret is seldom there.
    if provider in LOCAL:
        return 0
    return 2 if provider in OFFLINE else 1


def _opened(envelope: Envelope, candidate: Candidate, open_kek: OpenKek) -> Opened:
    try:
        dek = unwrap_dek(envelope, candidate, open_kek)
        return Opened(dek, unlock(envelope, dek), candidate.recipient)
    except KsmStorageError as exc:
        exc.key = exc.key or str(candidate.key)
        raise


def _tried(
    attempt: Callable[[int], Opened], keys: Sequence[KeyUri], pace: Pace | None
) -> tuple[Opened | None, list[KsmStorageError]]:
    if pace is not None:
        # Loaded where it is asked for: threads and queues are no part of a usual start.
        from .trying import try_in_time

        return try_in_time(keys, attempt, pace)
    causes: list[KsmStorageError] = []
    for place in range(len(keys)):
        try:
            return attempt(place), causes
        except KsmStorageError as exc:
            # Any failure of one recipient lets the next one try (R5): credentials may exist for
            # the second cloud only.
            causes.append(exc)
    return None, causes


def _candidate(recipient: Recipient, trusted: Sequence[KeyUri] | None) -> Candidate | None:
    if trusted is None or recipient.key in trusted:
        return Candidate(recipient, recipient.key)
    for key in trusted:
        if covers(key, recipient.key):
            # The KEK is opened under the *trusted* name: that it stands for this recipient's
            # key is for the key service to confirm, not for the file to claim.
            return Candidate(recipient, key)
    return None


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
        "the envelope does not open: another key, another context or altered data",
        hint="restore the file from a backup, or open it with the key that sealed it",
    )


def _none_opened(causes: Sequence[KsmStorageError]) -> KsmStorageError:
    listed = "; ".join(f"{cause.key}: {cause.message}" for cause in causes)
    error = _shared_class(causes)(
        f"none of the {len(causes)} recipients opens the envelope: {listed}",
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
