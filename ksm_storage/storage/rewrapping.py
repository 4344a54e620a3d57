"""Change the keys that open a sealed file, and leave its sealed payload as it is."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..audit.events import emit
from ..contract.key_uri import KeyUri
from ..envelope.codec import decode, encode
from ..envelope.model import Envelope, Recipient
from ..envelope.opening import Candidate, Opened, is_dek_of, unlock
from ..envelope.sealing import rewrap as rewrap_envelope
from ..errors import RollbackError, StorageError
from ..keys.setting_sources import Arguments
from .envelope_file import read_settled_envelope, use_envelope
from .file import replace_file
from .lock import locked
from .newest_versions import following_rotations
from .open_policy import OpenPolicy
from .proven_wraps import prove, wrap_for
from .reading import FileContent, resolved
from .recipient_changes import RecipientChanges, Replacements

# How often to begin anew when another process changes the same file's keys meanwhile.
ATTEMPTS = 5


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
    """Hold what the key services did, to be applied under the file's lock."""

    dek: bytes = field(repr=False)
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

    The DEK is unwrapped once, wrapped once under each new key, and each of these must unwrap it
    again before the file is replaced. The payload stays as it is: who unwrapped the DEK through
    a removed key still knows it, until :func:`ksm_storage.rekey` makes another one.

    Args:
        path: The sealed file.
        add: Keys to add; one that is there already is left as it is.
        remove: Keys to remove, named as the file names them, or without the version.
        replace: Keys to replace by others; a key by itself to wrap under its newest version.
        trusted: The only keys through which the file may be opened.
        context: The exact context that the file must have.
        settings: Settings for the plugins, by provider or by key URI.
        timeout: As for :func:`ksm_storage.open_storage`.
        hedge: As for :func:`ksm_storage.open_storage`.

    Raises:
        SettingsError: A key cannot be named so, is to be replaced and not there, or is the last.
        StorageError: The file is missing, or cannot be read or written; it is as it was.
        PluginError, ProviderError, DecryptionError: A key cannot be used; likewise.
    """
    changes = RecipientChanges.of(add, remove, replace or {})
    policy = OpenPolicy.from_args(trusted, context, settings).with_timeout(timeout, hedge)
    return rewrap_file(path, changes, policy)


def rewrap_file(
    path: str | os.PathLike[str], changes: RecipientChanges, policy: OpenPolicy
) -> Rewrapped:
    """Apply changes to the recipients of a sealed file; see :func:`rewrap`."""
    real = resolved(path)
    for _ in range(ATTEMPTS):
        envelope = existing_envelope(real, path, policy)
        before = envelope.header.recipients
        current = following_rotations(changes, before)
        if not current.to_wrap(before) and current.applied(before, {}) == before:
            return _outcome(real, envelope, envelope, ())
        prepared = _prepared(real, envelope, current, policy)
        done = None if prepared is None else _applied(real, current, prepared, policy)
        if done is not None:
            return done
    raise changed_meanwhile(real)


def existing_envelope(
    real: str, path: str | os.PathLike[str], policy: OpenPolicy | None = None
) -> Envelope:
    """Return the envelope in a file that must exist, and be the one expected if that is given.

    Raises:
        StorageError: It does not, or cannot be read.
        EnvelopeError: It is no envelope, or an older revision than was seen.
        DecryptionError: It is not the one expected.
    """

    def parsed(found: FileContent) -> Envelope:
        envelope = decode(found.content)
        if policy is not None:
            policy.check(envelope, path=real)
        return envelope

    try:
        return use_envelope(real, parsed)
    except FileNotFoundError as exc:
        raise StorageError(f"{os.fspath(path)!r} does not exist") from exc


def settled_envelope(real: str) -> Envelope:
    """Return the envelope in a file that was there before; the caller holds its lock.

    Raises:
        StorageError: It is gone, or cannot be read.
    """
    try:
        return decode(read_settled_envelope(real).content)
    except FileNotFoundError as exc:
        raise StorageError(f"{real!r} was removed by another program") from exc


def changed_meanwhile(path: str) -> StorageError:
    """Return the error for a file whose keys others change all the time."""
    return StorageError(
        f"the keys of {path!r} were changed by another process again and again",
        hint="let one process at a time change its keys",
    )


def opened_unless_replaced(real: str, envelope: Envelope, policy: OpenPolicy) -> Opened | None:
    """Open an envelope; return None where it is older than one that another process saved since.

    Raises:
        RollbackError: It is older than what was seen, and is what the file holds.
        KsmStorageError: It does not open.
    """
    try:
        return policy.open(envelope, path=real)
    except RollbackError as exc:
        if existing_envelope(real, real) != envelope:
            return None
        emit("refused", path=real, header=envelope.header, error=exc)
        raise


def _prepared(
    real: str, envelope: Envelope, changes: RecipientChanges, policy: OpenPolicy
) -> _Prepared | None:
    # All calls to key services are made here, before the lock: applications that save meanwhile
    # do not wait for them.
    wanted = changes.to_wrap(envelope.header.recipients)
    opened = opened_unless_replaced(real, envelope, policy)
    if opened is None:
        return None
    wraps = wrap_for(envelope, opened.dek, wanted, policy.open_kek)
    fresh = [Candidate(recipient, key) for key, recipient in wraps.items()]
    return _Prepared(opened.dek, wraps, prove(envelope, fresh, opened.dek, policy.open_kek))


def _applied(
    real: str, changes: RecipientChanges, prepared: _Prepared, policy: OpenPolicy
) -> Rewrapped | None:
    """Write the changes, or return None where the file's keys are others by now."""
    with locked(real):
        current = settled_envelope(real)
        before = current.header.recipients
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
        policy.saved(new.header)
    done = _outcome(real, current, new, prepared.unproven)
    emit("rewrapped", path=real, header=new.header, keys=done.keys, instead_of=done.removed)
    return done


def check_staged(staged: bytes, dek: bytes, payload: bytes) -> None:
    """Refuse a staged file that does not open to the payload.

    Raises:
        StorageError: It does not hold what was written.
    """
    if unlock(decode(staged), dek) != payload:
        raise StorageError("the staged copy does not hold what was sealed")


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
