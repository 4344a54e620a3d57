"""What a storage knows at one moment, never changed in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..config.document import Document, read_payload
from ..config.json_form import InvalidConfigError
from ..envelope.codec import decode
from ..envelope.model import Envelope
from ..envelope.opening import is_dek_of, unlock
from ..errors import EnvelopeError
from .open_policy import OpenPolicy
from .shared_opening import shared
from .signature import Signature


class State(NamedTuple):
    """Hold an opened envelope with its DEK and content.

    Attributes:
        envelope: The envelope as it is in the file.
        dek: Its DEK, with which it can be sealed again without a call to a key service.
        document: What its payload says.
        profile: The name of the configuration that the storage shows.
        signature: The file's, when the envelope was read; None if it came from no file.
        raw: The bytes of the envelope, to see at little cost that they are still the same.
    """

    envelope: Envelope
    dek: bytes
    document: Document
    profile: str
    signature: Signature | None
    raw: bytes = b""

    def __repr__(self) -> str:
        # Nothing of the DEK and the configuration.
        return f"<State of revision {self.envelope.header.revision}>"

    @property
    def config(self) -> Mapping[str, str]:
        """Return the configuration that the storage shows."""
        return self.document.profiles[self.profile]


def opened_state(
    raw: bytes,
    policy: OpenPolicy,
    *,
    profile: str | None,
    signature: Signature | None,
    path: str | None = None,
    newest: int = 0,
) -> State:
    """Open the bytes of an envelope with one call to a key service.

    Threads that open the same bytes at once make one call between them.

    Raises:
        RollbackError: A newer revision than this was seen, and the policy is to refuse.
        KsmStorageError: It does not open.
    """
    envelope = decode(raw)
    opened = shared(
        (raw, policy, newest, path), lambda: policy.open(envelope, newest=newest, path=path)
    )
    document = document_of(opened.payload)
    return State(envelope, opened.dek, document, document.chosen(profile), signature, raw)


def reread_state(
    raw: bytes,
    before: State,
    policy: OpenPolicy,
    *,
    profile: str | None,
    signature: Signature,
    path: str | None = None,
) -> State:
    """Open what another process saved, without a key service unless the DEK is another one.

    Raises:
        RollbackError: It is an older revision of the same envelope, and the policy is to refuse.
        KsmStorageError: It does not open.
    """
    if raw == before.raw:
        return before._replace(signature=signature)
    envelope = decode(raw)
    newest = _newest(envelope, before)
    if not is_dek_of(envelope, before.dek):
        return opened_state(
            raw, policy, profile=profile, signature=signature, path=path, newest=newest
        )
    policy.check(envelope, newest=newest, path=path)
    document = document_of(unlock(envelope, before.dek))
    policy.opened(envelope.header)
    return State(envelope, before.dek, document, document.chosen(profile), signature, raw)


def _newest(envelope: Envelope, before: State) -> int:
    """Return the revision that is known of the same envelope, or 0 of another one."""
    known = before.envelope.header
    return known.revision if known.envelope_id == envelope.header.envelope_id else 0


def document_of(payload: bytes) -> Document:
    """Read a payload that was authenticated.

    Raises:
        EnvelopeError: It is no configuration.
    """
    try:
        return read_payload(payload)
    except InvalidConfigError as exc:
        raise EnvelopeError(
            f"the sealed payload {exc}", hint="it was not sealed by ksm-storage"
        ) from exc.__cause__
