"""Begin a sealed file: where there is none yet, or where a plain configuration lies."""

from __future__ import annotations

import contextlib

from ..config.recognise import is_plain
from ..envelope.codec import encode
from ..envelope.sealing import wrap_new_dek
from ..errors import EnvelopeError, StorageError
from .encrypted import EncryptedStorage
from .envelope_file import read_envelope
from .file import prove_writable
from .lock import locked
from .not_sealed import not_sealed
from .open_policy import OpenPolicy
from .protecting import AlreadySealedError, protect_file
from .sealed_file import SealedFile
from .state import State, opened_state


def begin_new(
    path: str, real: str, policy: OpenPolicy, *, profile: str | None, cause: FileNotFoundError
) -> EncryptedStorage:
    """Wrap a new DEK and prove that the file can be written; the first change writes it.

    Raises:
        StorageError: No keys are given, a profile is named, or the file cannot be written.
        SettingsError, PluginError, ProviderError: A key cannot be used.
    """
    if policy.keys is None:
        raise StorageError(
            f"{path!r} does not exist",
            hint="name the keys to seal a new one under, as in keys=['key-file:///etc/ksm/app.key']",
        ) from cause
    if profile is not None:
        raise StorageError(f"{path!r} does not exist, so it has no profile {profile!r}") from cause
    # Before the key service is called: a wrap for a file that cannot be written is of no use.
    with locked(real):
        prove_writable(real)
    with contextlib.ExitStack() as stack:
        keks = [stack.enter_context(kek) for kek in policy.open_keks()]
        new = wrap_new_dek(keks, context=policy.context)
    return SealedFile(path, policy, state=None, new=new)


def begin_with_plain(
    path: str, real: str, content: bytes, policy: OpenPolicy, *, profile: str | None
) -> EncryptedStorage:
    """Protect the plain configuration in a file if keys are given, and open it.

    Raises:
        EnvelopeError: No keys are given, or the file is no configuration.
        StorageError: It is empty, no configuration, or cannot be written.
        SettingsError, PluginError, ProviderError, DecryptionError: A key cannot be used.
    """
    if not content:
        raise StorageError(
            f"{path!r} is empty: an interrupted save, not a configuration",
            hint="restore it from a backup, or delete it and bind again with a new token",
        )
    if policy.keys is None:
        raise _not_protected(path, content)
    state = _protected(real, policy, profile)
    if state is None:
        found = read_envelope(real)
        state = opened_state(found.content, policy, profile=profile, signature=found.signature)
    return SealedFile(path, policy, state=state, profile=profile)


def _protected(real: str, policy: OpenPolicy, profile: str | None) -> State | None:
    """Protect a file; return None if another process did it meanwhile."""
    try:
        done = protect_file(real, policy, accept=lambda document: document.chosen(profile))
    except AlreadySealedError:
        return None
    chosen = done.document.chosen(profile)
    raw = encode(done.envelope)
    return State(done.envelope, done.dek, done.document, chosen, done.signature, raw)


def _not_protected(path: str, content: bytes) -> EnvelopeError:
    error = not_sealed(path, content)
    if is_plain(content):
        error.hint = f"{error.hint}, or pass keys= to do it now"
    return error
