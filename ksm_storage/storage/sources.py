"""Find the configuration that an application asks for, and open a storage over it.

It is an envelope in the environment or in a file, a plain configuration that is to be sealed, or
a file that does not exist yet.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from ..contract.key_wrapper import KeyUri
from ..envelope.codec import looks_like_envelope
from ..errors import EnvelopeError, StorageError
from ..files.reading import (
    FileContent,
    read_file,
    refuse_configuration,
    resolved,
)
from ..keys.setting_sources import Arguments
from .encrypted_storage import Change, Config, EncryptedStorage, SealedFile
from .open_policy import OpenPolicy
from .snapshot import Snapshot, open_snapshot, read_envelope, with_envelope

DEFAULT_FILE = "client-config.json"
ENVELOPE_VARIABLE = "KSM_STORAGE_CONFIG"
FILE_VARIABLE = "KSM_CONFIG_FILE"


def open_storage(
    path: str | os.PathLike[str] | None = None,
    *,
    keys: Sequence[str | KeyUri] | None = None,
    settings: Arguments | None = None,
    context: Mapping[str, str] | None = None,
    profile: str | None = None,
    timeout: float | None = None,
    hedge: float | None = None,
) -> EncryptedStorage:
    """Open a sealed configuration for the SDK's ``config=``.

    An existing envelope is opened at once, with one call to a key service, so that a wrong key
    or a missing permission is reported here. A missing file is prepared if keys are given: the
    DEK is wrapped and unwrapped again through each key and the folder proved writable now, and
    the first change writes the file. A plain configuration is protected if keys are given.

    Args:
        path: The file; None means the envelope in ``$KSM_STORAGE_CONFIG``, else the file
            ``$KSM_CONFIG_FILE``, else ``client-config.json``.
        keys: The KEKs that are trusted. An envelope under any other KEK is refused before any
            network call. A new envelope is wrapped under all of them.
        settings: Settings for the plugins, by provider or by key URI.
        context: Labels for a new envelope, and exactly those required of an existing one.
        profile: The profile to use, where the file has several.
        timeout: Seconds within which a recipient must open the envelope; each gets a share of
            them. None for what the plugins allow by themselves.
        hedge: Seconds after which the next recipient is asked as well, while the previous one
            has not answered; the first answer counts. None to ask one after another.

    Raises:
        SettingsError: A key, setting, context or profile is invalid.
        PluginError: No usable plugin serves a key's provider.
        ProviderError: The key service rejected the call or failed.
        EnvelopeError: The file is not an envelope, is damaged, or has an unknown version.
        ContinuityError: It does not continue the recorded file, and the user wants that
            to be refused.
        DecryptionError: A wrong KEK, a wrong context, or altered data.
        StorageError: The file cannot be read, or is missing and no keys are given.
    """
    policy = OpenPolicy.from_args(keys, context, settings).with_timeout(timeout, hedge)
    policy = policy.with_cache()
    if path is not None:
        # Before the current folder is put in front, after which it would not be recognised.
        refuse_configuration(os.fspath(path))
    elif (raw := envelope_from_environment()) is not None:
        return SealedText(open_snapshot(raw, policy, profile=profile, signature=None), policy)
    path = os.path.abspath(path or configured_path())
    real = resolved(path)
    try:
        found = read_file(real)
    except FileNotFoundError as exc:
        return _prepared(path, real, policy, profile=profile, cause=exc)
    if not looks_like_envelope(found.content):
        return _protected(path, real, found.content, policy, profile=profile)

    def opened(found: FileContent) -> Snapshot:
        return open_snapshot(
            found.content, policy, profile=profile, signature=found.signature, path=path
        )

    snapshot = with_envelope(real, opened, found=found)
    return SealedFile(path, policy, snapshot=snapshot, profile=profile)


def envelope_from_environment() -> bytes | None:
    """Return the envelope that ``$KSM_STORAGE_CONFIG`` holds in base64, or None if it is unset.

    Raises:
        EnvelopeError: It holds something else.
    """
    text = os.environ.get(ENVELOPE_VARIABLE)
    if not text:
        return None
    from ..config.document import decode_base64

    raw = decode_base64(text.encode("utf-8", errors="replace"))
    if raw is None or not looks_like_envelope(raw):
        raise EnvelopeError(
            f"${ENVELOPE_VARIABLE} is not an envelope in base64",
            hint=f"set it with: export {ENVELOPE_VARIABLE}=$(base64 -w0 PATH)",
        )
    return raw


def configured_path() -> str:
    """Return ``$KSM_CONFIG_FILE``, or the official SDK's default name.

    Raises:
        StorageError: It is not a path but a configuration.
    """
    path = os.environ.get(FILE_VARIABLE) or DEFAULT_FILE
    refuse_configuration(path)
    return path


class SealedText(EncryptedStorage):
    """Show the configuration of an envelope from the environment; refuse to change it."""

    def __init__(self, snapshot: Snapshot, policy: OpenPolicy) -> None:
        super().__init__(policy)
        self._snapshot = snapshot

    def _current(self) -> Mapping[str, str]:
        return self._snapshot.config

    def _saved(self, change: Change) -> Config:
        config = dict(self._snapshot.config)
        change(config)
        if config == self._snapshot.config:
            return config
        raise StorageError(
            f"the configuration in ${ENVELOPE_VARIABLE} is read-only",
            hint="bind and change it in a file, then set the variable again",
        )

    def __repr__(self) -> str:
        return f"<SealedText, revision {self._snapshot.envelope.header.revision}>"


def _prepared(
    path: str, real: str, policy: OpenPolicy, *, profile: str | None, cause: FileNotFoundError
) -> EncryptedStorage:
    """Wrap and unwrap a new DEK, and prove the file writable; the first change writes it."""
    if policy.keys is None:
        raise StorageError(
            f"{path!r} does not exist",
            hint="to create it, pass the keys to seal it under: keys=['key-file:///PATH/app.key']",
        ) from cause
    if profile is not None:
        raise StorageError(f"{path!r} does not exist, so it has no profile {profile!r}") from cause
    # Loaded where it is needed: the many starts that open an existing envelope do not pay for
    # making one.
    from ..envelope.sealing import wrap_and_verify_new_dek
    from ..files.lock import locked
    from ..files.replacement import prove_writable

    # Before the key service is called: a wrap for a file that cannot be written is of no use.
    with locked(real):
        prove_writable(real)
    policy.require_allowed(policy.keys, path=path)
    new = wrap_and_verify_new_dek(policy.keys, policy.open_kek, context=policy.context)
    return SealedFile(path, policy, snapshot=None, new=new)


def _protected(
    path: str, real: str, content: bytes, policy: OpenPolicy, *, profile: str | None
) -> EncryptedStorage:
    """Protect the plain configuration in a file if keys are given, and open it."""
    from ..config.recognise import empty_error
    from ..envelope.codec import encode
    from .protecting import AlreadySealedError, protect_file

    if not content:
        raise empty_error(repr(path))
    if policy.keys is None:
        raise _not_protected(path, content)
    policy.require_unrecorded(path)
    try:
        done = protect_file(path, policy, accept=lambda document: document.chosen(profile))
    except AlreadySealedError:
        # Another process did it meanwhile.
        found = read_envelope(real)
        snapshot = open_snapshot(
            found.content, policy, profile=profile, signature=found.signature, path=path
        )
    else:
        chosen, raw = done.document.chosen(profile), encode(done.envelope)
        snapshot = Snapshot(done.envelope, done.dek, done.document, chosen, done.signature, raw)
    return SealedFile(path, policy, snapshot=snapshot, profile=profile)


def _not_protected(path: str, content: bytes) -> EnvelopeError:
    from ..config.recognise import is_plain
    from .plaintext_source import wrong_format

    error = wrong_format(path, content)
    if is_plain(content):
        error.hint = f"{error.hint}, or pass keys= to do it now"
    return error
