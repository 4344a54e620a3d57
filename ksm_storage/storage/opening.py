"""Open the storage that an application hands to its SDK."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from ..contract.key_uri import KeyUri
from ..envelope.codec import looks_like_envelope
from ..keys.setting_sources import Arguments
from .encrypted import EncryptedStorage
from .envelope_file import use_envelope
from .open_policy import OpenPolicy
from .reading import FileContent, read_file, resolved
from .sealed_file import SealedFile
from .sources import configured_path, envelope_from_environment, refuse_configuration
from .state import State, opened_state


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
    DEK is wrapped and the folder proved writable now, and the first change writes the file. A
    plain configuration is protected if keys are given.

    Args:
        path: The file; None means the envelope in ``$KSM_STORAGE_CONFIG``, else the file
            ``$KSM_CONFIG_FILE``, else ``client-config.json``.
        keys: The KEKs that are trusted. An envelope under any other one is refused before any
            network call. A new envelope is wrapped under all of them.
        settings: Settings for the plugins, by provider or by key URI.
        context: Labels for a new envelope, and exactly those required of an existing one.
        profile: The profile to use, where the file has several.
        timeout: Seconds within which one of the recipients must have opened the envelope; each
            has a share of them. None for what the plugins allow by themselves.
        hedge: Seconds after which the next recipient is asked as well, while the one before has
            not answered; the first answer counts. None to ask one after another.

    Raises:
        SettingsError: A key, setting, context or profile cannot be used.
        PluginError: No usable plugin serves a key's provider.
        ProviderError: The key service refused or failed.
        EnvelopeError: The file is no envelope, damaged, or of an unknown version.
        RollbackError: It is older than a revision that was seen before, and the user wants that
            to be refused.
        DecryptionError: A wrong KEK, a wrong context, or altered data.
        StorageError: The file cannot be read, or is missing and no keys are given.
    """
    policy = OpenPolicy.from_args(keys, context, settings).with_timeout(timeout, hedge)
    if path is not None:
        # Before the current folder stands before it, behind which it would not be recognised.
        refuse_configuration(os.fspath(path))
    else:
        raw = envelope_from_environment()
        if raw is not None:
            from .sealed_text import SealedText

            return SealedText(opened_state(raw, policy, profile=profile, signature=None))
    return _open_file(os.path.abspath(path or configured_path()), policy, profile)


def _open_file(path: str, policy: OpenPolicy, profile: str | None) -> EncryptedStorage:
    real = resolved(path)
    try:
        found = read_file(real)
    except FileNotFoundError as exc:
        # What follows is loaded where it is needed: the many starts that open an existing
        # envelope do not pay for making one.
        from .beginning import begin_new

        return begin_new(path, real, policy, profile=profile, cause=exc)
    if not looks_like_envelope(found.content):
        from .beginning import begin_with_plain

        return begin_with_plain(path, real, found.content, policy, profile=profile)

    def opened(found: FileContent) -> State:
        return opened_state(
            found.content, policy, profile=profile, signature=found.signature, path=path
        )

    return SealedFile(path, policy, state=use_envelope(real, opened), profile=profile)
