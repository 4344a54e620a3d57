"""Seal a plain configuration in place; at any moment one of the two forms is whole."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..audit.events import emit
from ..config.document import Document, write_payload
from ..config.recognise import Form, refuse_unusable
from ..contract.key_wrapper import KeyUri
from ..envelope.codec import decode, encode, looks_like_envelope
from ..envelope.model import Envelope
from ..envelope.opening import Candidate, unlock
from ..envelope.sealing import (
    open_and_wrap_new_dek,
    refuse_only_offline,
    seal,
    verify_unwrap,
)
from ..errors import DecryptionError, StorageError
from ..files.lock import locked
from ..files.reading import FileContent, Signature, read_file, resolved
from ..files.replacement import NEW_FILE_MODE, replace_file
from ..keys.setting_sources import Arguments
from .open_policy import OpenPolicy, read_key
from .plaintext_source import read_plaintext


@dataclass(frozen=True, slots=True)
class Protected:
    """Hold what was done to a file.

    Attributes:
        path: The file itself, symbolic links followed.
        form: The form in which the configuration was found.
        keys: The resolved URI of each recipient.
        envelope: The new envelope.
        dek: Its DEK, for a caller that goes on to use it.
        document: What was sealed.
        signature: The file's, as it is now.
        mode_before: The file's permission bits until then.
    """

    path: str
    form: Form
    keys: tuple[str, ...]
    envelope: Envelope = field(repr=False)
    dek: bytes = field(repr=False)
    document: Document = field(repr=False)
    signature: Signature
    mode_before: int


class AlreadySealedError(StorageError):
    """Report that the file to protect is already an envelope."""


def protect(
    path: str | os.PathLike[str],
    keys: Sequence[str | KeyUri],
    *,
    settings: Arguments | None = None,
    context: Mapping[str, str] | None = None,
    mode: int = NEW_FILE_MODE,
    from_key: str | KeyUri | None = None,
) -> Protected:
    """Seal the configuration in a file under the given keys.

    The file holds it in plain text, or sealed by one of Keeper's own storage packages.

    The file is replaced only after the sealed copy was read back and opened through a fresh
    unwrap by *each* of the keys, but for those whose secret is kept offline. Until then, and
    whenever this raises, the file is unchanged.

    Args:
        path: A file with JSON, base64 of JSON, or ``keeper.ini``.
        keys: The KEKs, each of which will open the envelope.
        settings: Settings for the plugins, by provider or by key URI.
        context: Labels to bind to the envelope.
        mode: The mode of the sealed file.
        from_key: The key under which one of Keeper's own packages sealed the file, if not one of
            ``keys``.

    Raises:
        StorageError: The file is missing, already sealed, not a configuration, or not writable.
        SettingsError, PluginError, ProviderError: A key cannot be used.
        DecryptionError: A key can wrap but not unwrap.
    """
    source = None if from_key is None else read_key(from_key)
    return protect_file(
        path, OpenPolicy.from_args(keys, context, settings), mode=mode, from_key=source
    )


def protect_file(
    path: str | os.PathLike[str],
    policy: OpenPolicy,
    *,
    mode: int = NEW_FILE_MODE,
    from_key: KeyUri | None = None,
    accept: Callable[[Document], object] | None = None,
) -> Protected:
    """Seal the configuration in a file under the trusted keys; see :func:`protect`.

    Args:
        path: The file.
        policy: The keys, context and settings.
        mode: The mode of the sealed file.
        from_key: The key of an official package's file, if it is not a trusted one.
        accept: Called with what was found, before a key service wraps anything; may refuse it
            by raising. None refuses an empty configuration.
    """
    refuse_only_offline(policy.keys or ())
    real, path = resolved(path), os.fspath(path)
    with locked(real):
        found = unsealed_file(real)
        plain = read_plaintext(
            found.content, policy.keys or (), from_key, open_kek=policy.open_kek, name=repr(real)
        )
        if accept is None:
            refuse_unusable(plain.document, name=repr(real))
        else:
            accept(plain.document)
        payload = write_payload(plain.document)
        policy.require_allowed(policy.keys or (), path=path)
        new = open_and_wrap_new_dek(policy.keys or (), policy.open_kek, context=policy.context)
        envelope = seal(payload, new)
        signature = replace_file(
            real,
            encode(envelope),
            mode=mode,
            verify=lambda staged: _verify(staged, payload, new.dek, policy),
        )
        # Not as a new line: who can put a plain file here must not make us forget the sealed one.
        policy.remember_saved(envelope, new.dek, path=path)
    keys = tuple(str(recipient.key) for recipient in envelope.header.recipients)
    emit("protected", path=real, header=envelope.header, keys=keys, form=plain.form.value)
    mode_before = stat.S_IMODE(found.status.st_mode)
    return Protected(
        real, plain.form, keys, envelope, new.dek, plain.document, signature, mode_before
    )


def unsealed_file(path: str) -> FileContent:
    """Return the content of a file that is to be protected.

    Raises:
        AlreadySealedError: It is sealed.
        StorageError: It is missing, cannot be read, or has another hard link.
    """
    try:
        found = read_file(path)
    except FileNotFoundError as exc:
        raise StorageError(
            f"{path!r} does not exist",
            hint="to bind to a new sealed file: ksm-storage init, or open_storage with keys=",
        ) from exc
    if looks_like_envelope(found.content):
        raise AlreadySealedError(
            f"{path!r} is already sealed", hint="'ksm-storage inspect' lists its keys"
        )
    if found.status.st_nlink > 1:
        # The other name would keep the plaintext, unseen.
        raise StorageError(
            f"{path!r} has another hard link, which would keep the plain configuration",
            hint=f"find it with: find / -xdev -samefile {shlex.quote(path)}; delete it, then retry",
        )
    return found


def _verify(staged: bytes, payload: bytes, dek: bytes, policy: OpenPolicy) -> None:
    # Through fresh key wrappers and from the bytes: a key that may encrypt but not decrypt, and
    # a codec that loses something, show here, while the plain file is still there.
    reread = decode(staged)
    if unlock(reread, dek) != payload:
        raise DecryptionError("the sealed copy does not contain what was sealed")
    pairs = zip(reread.header.recipients, policy.keys or (), strict=True)
    verify_unwrap(reread, [Candidate(*pair) for pair in pairs], dek, policy.open_kek)
