"""Change the keys that open a sealed file; its sealed payload is unchanged."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..audit.events import emit
from ..contract.key_wrapper import KeyUri
from ..envelope.codec import decode, encode
from ..envelope.model import Envelope, Recipient
from ..envelope.opening import Candidate, Opened, is_dek_of, unlock
from ..envelope.sealing import rewrap as rewrap_envelope
from ..envelope.sealing import verify_unwrap, wrap_dek
from ..errors import ContinuityError, StorageError
from ..files.lock import locked
from ..files.reading import resolved
from ..files.replacement import replace_file
from ..keys.setting_sources import Arguments
from .open_policy import OpenPolicy
from .recipient_changes import RecipientChanges, Replacements
from .snapshot import existing_envelope, locked_envelope


class _OpenEnvelope(Protocol):
    def __call__(self, envelope: Envelope, *, path: str | None = None) -> Opened: ...


# How often to start over when another process changes the same file's keys meanwhile.
MAX_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """Hold what was done to the keys of a file.

    Attributes:
        path: The file itself, symbolic links followed.
        keys: The resolved URI of each recipient, as they are now.
        added: Those under which the DEK was wrapped.
        removed: Those that were recipients before.
        unproven: Those of ``added`` whose secret is kept offline and was not given, so that
            nobody has seen them unwrap.
        revision: The file's revision, as it is now.
    """

    path: str
    keys: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    unproven: tuple[str, ...]
    revision: int

    @property
    def changed(self) -> bool:
        """Tell whether the file was written."""
        return bool(self.added or self.removed)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Hold what was opened and what the key services did, to be applied under the file's lock."""

    envelope: Envelope = field(repr=False)
    dek: bytes = field(repr=False)
    payload: bytes = field(repr=False)
    wraps: Mapping[KeyUri, Recipient]
    unproven: tuple[str, ...]


def rewrap(
    path: str | os.PathLike[str],
    *,
    add: Sequence[str | KeyUri] = (),
    remove: Sequence[str | KeyUri] = (),
    replace: Replacements | None = None,
    trusted: Sequence[str | KeyUri] | None = None,
    context: Mapping[str, str] | None = None,
    settings: Arguments | None = None,
    timeout: float | None = None,
    hedge: float | None = None,
) -> Rewrapped:
    """Add, remove and replace keys of a sealed file; the same call again changes nothing.

    The DEK is unwrapped once, even if there is nothing to change, and wrapped once under each new
    key, which must unwrap it again before the file is replaced. The payload is unchanged: holders
    of a removed key may have kept the DEK, until :func:`ksm_storage.rekey` replaces it.

    Args:
        path: The sealed file.
        add: Keys to add; one that is already a recipient is unchanged.
        remove: Keys to remove, as the file names them or without the version.
        replace: Keys to replace by others; a key by itself to wrap under its newest version.
        trusted: The only keys through which the file may be opened.
        context: The exact context that the file must have.
        settings: Settings for the plugins, by provider or by key URI.
        timeout: As for :func:`ksm_storage.open_storage`.
        hedge: As for :func:`ksm_storage.open_storage`.

    Raises:
        SettingsError: A key is invalid, is not there to be replaced, or is the last one.
        StorageError: The file is missing, or cannot be read or written; it is unchanged.
        PluginError, ProviderError, DecryptionError: A key cannot be used; likewise.
    """
    changes = RecipientChanges.of(add, remove, replace or {})
    policy = OpenPolicy.from_args(trusted, context, settings).with_timeout(timeout, hedge)
    return rewrap_file(path, changes, policy)


def rewrap_file(
    path: str | os.PathLike[str], changes: RecipientChanges, policy: OpenPolicy
) -> Rewrapped:
    """Apply changes to the recipients of a sealed file; see :func:`rewrap`."""
    real, path = resolved(path), os.fspath(path)
    for _ in range(MAX_ATTEMPTS):
        envelope = existing_envelope(real, path, policy)
        before = envelope.header.recipients
        current = changes.following_rotations(before)
        if not current.to_wrap(before) and current.applied(before, {}) == before:
            # Never report success from a header that is not authenticated.
            if opened_unless_replaced(real, path, envelope, policy.open_checked) is None:
                continue
            return _outcome(real, envelope, envelope, ())
        prepared = _prepared(real, path, envelope, current, policy)
        done = None if prepared is None else _applied(real, path, current, prepared, policy)
        if done is not None:
            return done
    raise changed_meanwhile(real)


def rehearse_rewrap(
    path: str | os.PathLike[str], changes: RecipientChanges, policy: OpenPolicy
) -> tuple[list[KeyUri], bool]:
    """Do all that :func:`rewrap_file` does, but write nothing.

    Returns:
        The keys that the DEK would be wrapped under, and whether the file would change.
    """
    real, path = resolved(path), os.fspath(path)
    for _ in range(MAX_ATTEMPTS):
        envelope = existing_envelope(real, path, policy)
        before = envelope.header.recipients
        current = changes.following_rotations(before)
        prepared = _prepared(real, path, envelope, current, policy)
        if prepared is not None:
            changed = current.applied(before, prepared.wraps) != before
            if changed:
                require_writable(real)
            return current.to_wrap(before), changed
    raise changed_meanwhile(real)


def require_writable(path: str) -> None:
    """Refuse a file that this process may neither replace nor write.

    Raises:
        StorageError: It is read-only here.
    """
    effective = os.access in os.supports_effective_ids
    folder = os.access(os.path.dirname(path), os.W_OK | os.X_OK, effective_ids=effective)
    if not folder and not os.access(path, os.W_OK, effective_ids=effective):
        raise StorageError(
            f"cannot write {path!r}: it and its folder are read-only here",
            hint="run the command as the file's owner",
        )


def changed_meanwhile(path: str) -> StorageError:
    """Return the error for a file whose keys another process keeps changing."""
    return StorageError(
        f"another process keeps changing the keys of {path!r}",
        hint="let only one process at a time change its keys",
    )


def opened_unless_replaced(
    real: str, path: str, envelope: Envelope, open_envelope: _OpenEnvelope
) -> Opened | None:
    """Open an envelope; return None if another process has saved a newer one since.

    Args:
        real: The file itself.
        path: Its name as it was given, by which it is recorded and rules apply to it.
        envelope: What was read there.
        open_envelope: A policy's way to open it.

    Raises:
        ContinuityError: It is older than what was seen, and is what the file holds.
        KsmStorageError: It does not open.
    """
    try:
        return open_envelope(envelope, path=path)
    except ContinuityError as exc:
        if existing_envelope(real, real) != envelope:
            return None
        emit("refused", path=real, header=envelope.header, error=exc)
        raise


def _prepared(
    real: str, path: str, envelope: Envelope, changes: RecipientChanges, policy: OpenPolicy
) -> _Prepared | None:
    # All calls to key services are made here, before the lock: applications that save meanwhile
    # do not wait for them.
    wanted = changes.to_wrap(envelope.header.recipients)
    opened = opened_unless_replaced(real, path, envelope, policy.open_checked)
    if opened is None:
        return None
    policy.require_allowed(wanted, path=path)
    wraps = wrap_dek(envelope, opened.dek, wanted, policy.open_kek)
    fresh = [Candidate(recipient, key) for key, recipient in wraps.items()]
    unproven = verify_unwrap(envelope, fresh, opened.dek, policy.open_kek)
    return _Prepared(envelope, opened.dek, opened.payload, wraps, unproven)


def _applied(
    real: str, path: str, changes: RecipientChanges, prepared: _Prepared, policy: OpenPolicy
) -> Rewrapped | None:
    """Write the changes, or return None where the file's keys are others by now."""
    with locked(real):
        current, payload = locked_envelope(real, prepared.envelope), prepared.payload
        before = current.header.recipients
        if current is not prepared.envelope:
            if not is_dek_of(current, prepared.dek):
                return None
            if not set(changes.to_wrap(before)) <= set(prepared.wraps):
                return None
            # What another process saved meanwhile is authenticated before it is given a new MAC.
            payload = unlock(current, prepared.dek)
        recipients = changes.applied(before, prepared.wraps)
        if recipients == before:
            return _outcome(real, current, current, ())
        new = rewrap_envelope(current, recipients, dek=prepared.dek)
        replace_file(
            real, encode(new), verify=lambda staged: check_staged(staged, prepared.dek, payload)
        )
        policy.remember_saved(new, prepared.dek, path=path)
    done = _outcome(real, current, new, prepared.unproven)
    emit("rewrapped", path=real, header=new.header, keys=done.keys, instead_of=done.removed)
    return done


def check_staged(staged: bytes, dek: bytes, payload: bytes) -> None:
    """Refuse a staged file that does not open to the payload.

    Raises:
        StorageError: It does not contain what was written.
    """
    if unlock(decode(staged), dek) != payload:
        raise StorageError("the staged copy does not contain what was sealed")


def _outcome(real: str, old: Envelope, new: Envelope, unproven: tuple[str, ...]) -> Rewrapped:
    before, after = set(old.header.recipients), set(new.header.recipients)
    keys = tuple(str(recipient.key) for recipient in new.header.recipients)
    kept = {str(recipient.key) for recipient in new.header.recipients}
    return Rewrapped(
        path=real,
        keys=keys,
        added=tuple(str(r.key) for r in new.header.recipients if r in after - before),
        removed=tuple(str(r.key) for r in old.header.recipients if str(r.key) not in kept),
        unproven=unproven,
        revision=new.header.revision,
    )
