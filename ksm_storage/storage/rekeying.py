"""Seal a file under a new DEK, so that the old one is worthless for the new file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from ..audit.events import emit
from ..contract.key_wrapper import KeyUri
from ..envelope.codec import encode
from ..envelope.model import Envelope
from ..envelope.opening import Candidate, Opened, OpenKek, unlock
from ..envelope.sealing import refuse_only_offline, seal_again, verify_unwrap
from ..envelope.sealing import rekey as rekey_envelope
from ..errors import SettingsError
from ..files.lock import locked
from ..files.reading import resolved
from ..files.replacement import replace_file
from ..keys.setting_sources import Arguments
from .open_policy import OpenPolicy, read_key
from .recipient_changes import names, newest_version
from .rewrapping import (
    MAX_ATTEMPTS,
    changed_meanwhile,
    check_staged,
    opened_unless_replaced,
    require_writable,
)
from .snapshot import existing_envelope, locked_envelope


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """Hold what was done to a file.

    Attributes:
        path: The file itself, symbolic links followed.
        keys: The resolved URI of each recipient, all of them newly wrapped.
        removed: Those that were recipients before.
        unproven: Those whose secret is kept offline and was not given, so that nobody has seen
            them unwrap.
        revision: The file's revision, as it is now.
    """

    path: str
    keys: tuple[str, ...]
    removed: tuple[str, ...]
    unproven: tuple[str, ...]
    revision: int


def rekey(
    path: str | os.PathLike[str],
    *,
    add: Sequence[str | KeyUri] = (),
    remove: Sequence[str | KeyUri] = (),
    trusted: Sequence[str | KeyUri] | None = None,
    context: Mapping[str, str] | None = None,
    settings: Arguments | None = None,
    timeout: float | None = None,
    hedge: float | None = None,
) -> Rekeyed:
    """Seal a file under a new DEK, wrapped under each of its keys in the newest version.

    A key stays unless it is removed by name. Each key must unwrap the new DEK before the file is
    replaced. Running applications see the new file at their next access, at the cost of one call
    to a key service.

    Args:
        path: The sealed file.
        add: Keys that will open the file besides those that it has.
        remove: Keys that will not.
        trusted: The only keys through which the file may be opened.
        context: The exact context that the file must have.
        settings: Settings for the plugins, by provider or by key URI.
        timeout: As for :func:`ksm_storage.open_storage`.
        hedge: As for :func:`ksm_storage.open_storage`.

    Raises:
        SettingsError: A key is invalid, one to remove is not a recipient, or none is left.
        StorageError: The file is missing, or cannot be read or written; it is unchanged.
        PluginError, ProviderError, DecryptionError: A key cannot be used; likewise.
    """
    policy = OpenPolicy.from_args(trusted, context, settings).with_timeout(timeout, hedge)
    return rekey_file(path, policy, _listed(add), _listed(remove))


def rekey_file(
    path: str | os.PathLike[str],
    policy: OpenPolicy,
    add: Sequence[KeyUri] = (),
    remove: Sequence[KeyUri] = (),
) -> Rekeyed:
    """Seal a file under a new DEK; see :func:`rekey`."""
    real, path = resolved(path), os.fspath(path)
    for _ in range(MAX_ATTEMPTS):
        old = existing_envelope(real, path)
        wanted = keys_after_rekey(path, old, add, remove)
        refuse_only_offline(wanted)
        policy.require_allowed(wanted, path=path)
        opened = opened_unless_replaced(real, path, old, policy.open)
        if opened is None:
            continue
        new, dek, unproven = _rekeyed(old, opened, wanted, policy.open_kek)
        written = _written(real, old, new, old_dek=opened.dek, dek=dek)
        if written is not None:
            policy.remember_saved(written, dek, path=path)
            done = _outcome(real, old, written, unproven)
            emit(
                "rekeyed",
                path=real,
                header=written.header,
                keys=done.keys,
                instead_of=done.removed,
            )
            return done
    raise changed_meanwhile(real)


def rehearse_rekey(
    path: str | os.PathLike[str],
    policy: OpenPolicy,
    *,
    add: Sequence[KeyUri] = (),
    remove: Sequence[KeyUri] = (),
) -> Sequence[KeyUri]:
    """Do all that :func:`rekey_file` does, but write nothing; return the keys of the new file."""
    real, path = resolved(path), os.fspath(path)
    for _ in range(MAX_ATTEMPTS):
        old = existing_envelope(real, path)
        wanted = keys_after_rekey(path, old, add, remove)
        refuse_only_offline(wanted)
        policy.require_allowed(wanted, path=path)
        opened = opened_unless_replaced(real, path, old, policy.open)
        if opened is not None:
            _rekeyed(old, opened, wanted, policy.open_kek)
            require_writable(real)
            return wanted
    raise changed_meanwhile(real)


def keys_after_rekey(
    path: str, envelope: Envelope, add: Sequence[KeyUri], remove: Sequence[KeyUri]
) -> Sequence[KeyUri]:
    """Return the keys that a rekeyed file will have: a key that is not named is kept.

    Raises:
        SettingsError: A key to remove is not a recipient, or none would be left.
    """
    recipients = envelope.header.recipients
    for key in remove:
        if not any(names(key, recipient) for recipient in recipients):
            raise SettingsError(
                f"{path!r} has no key {key} to remove", hint="'ksm-storage inspect' lists its keys"
            )
    kept = [
        newest_version(recipient)
        for recipient in recipients
        if not any(names(key, recipient) for key in (*remove, *add))
    ]
    keys = list(dict.fromkeys([*kept, *add]))
    if not keys:
        raise SettingsError(
            "the last key of a file cannot be removed", hint="add another one in the same step"
        )
    return keys


def _listed(keys: Sequence[str | KeyUri]) -> Sequence[KeyUri]:
    return [read_key(key) for key in ([keys] if isinstance(keys, (str, KeyUri)) else keys)]


def _rekeyed(
    old: Envelope, opened: Opened, keys: Sequence[KeyUri], open_kek: OpenKek
) -> tuple[Envelope, bytes, tuple[str, ...]]:
    with ExitStack() as stack:
        keks = [stack.enter_context(open_kek(key)) for key in keys]
        new, dek = rekey_envelope(old, opened.payload, keks, old_dek=opened.dek)
    pairs = zip(new.header.recipients, keys, strict=True)
    fresh = [Candidate(recipient, key) for recipient, key in pairs]
    return new, dek, verify_unwrap(new, fresh, dek, open_kek)


def _written(
    real: str, old: Envelope, new: Envelope, *, old_dek: bytes, dek: bytes
) -> Envelope | None:
    """Write the new envelope, or return None where the file's keys are others by now."""
    with locked(real):
        current = locked_envelope(real)
        if current.header.recipients != old.header.recipients:
            return None
        # Another process may have saved since it was opened: what it saved is what is sealed.
        payload = unlock(current, old_dek)
        header = current.header._replace(
            created=new.header.created,
            recipients=new.header.recipients,
            generation=new.header.generation,
            lineage=new.header.lineage,
        )
        sealed = seal_again(current._replace(header=header), payload, dek=dek)
        replace_file(real, encode(sealed), verify=lambda staged: check_staged(staged, dek, payload))
    return sealed


def _outcome(real: str, old: Envelope, new: Envelope, unproven: tuple[str, ...]) -> Rekeyed:
    keys = tuple(str(recipient.key) for recipient in new.header.recipients)
    before = (str(recipient.key) for recipient in old.header.recipients)
    removed = tuple(key for key in before if key not in keys)
    return Rekeyed(real, keys, removed, unproven, new.header.revision)
