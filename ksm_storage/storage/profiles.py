"""Change which profiles a sealed file holds: the whole document, in one locked step."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping

from ..audit.events import emit
from ..config.document import ACTIVE_PROFILE, UNNAMED, Document, write_payload
from ..envelope.codec import decode, encode
from ..envelope.opening import is_dek_of, unlock
from ..envelope.sealing import seal, seal_again, wrap_and_verify_new_dek
from ..errors import SettingsError, StorageError
from ..files.lock import locked
from ..files.reading import FileContent, not_found, resolved
from ..files.replacement import create_file, replace_file
from .open_policy import OpenPolicy
from .rewrapping import MAX_ATTEMPTS, changed_meanwhile, opened_unless_replaced
from .snapshot import document_of, existing_envelope, locked_envelope, with_envelope

# What the official command line calls the one profile of a configuration without a name.
DEFAULT_PROFILE = "_default"

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SETTINGS_SECTION = "_config"


def check_profile_name(name: str) -> None:
    """Refuse a name that the official command line would refuse or take for its settings.

    Raises:
        SettingsError: The name is invalid.
    """
    if not _NAME.fullmatch(name) or name == _SETTINGS_SECTION:
        raise SettingsError(
            f"{name!r} is not a valid profile name",
            hint=f"use 1 to 64 of A-Z a-z 0-9 _ -, but not {_SETTINGS_SECTION!r}",
        )


def read_document(path: str | os.PathLike[str], policy: OpenPolicy) -> Document:
    """Return the whole content of a sealed file, with one unwrap.

    Raises:
        StorageError: The file does not exist, or cannot be read.
        KsmStorageError: It could not be opened.
    """
    real, path = resolved(path), os.fspath(path)

    def opened(found: FileContent) -> Document:
        return document_of(policy.open(decode(found.content), path=path).payload)

    try:
        return with_envelope(real, opened)
    except FileNotFoundError as exc:
        raise not_found(path) from exc


def change_document(
    path: str | os.PathLike[str], policy: OpenPolicy, change: Callable[[Document], Document]
) -> Document:
    """Replace the whole content of a sealed file by what a function makes of it; return that.

    It is applied to what the file holds while it is locked, so that no other process's change is
    lost; the DEK is unwrapped before. What the function raises passes through, and the file
    is unchanged.

    Raises:
        StorageError: The file does not exist, or cannot be read or written.
        KsmStorageError: It could not be opened.
    """
    real, path = resolved(path), os.fspath(path)
    for _ in range(MAX_ATTEMPTS):
        # The key service is called before the lock: applications that save do not wait for it.
        opened = opened_unless_replaced(real, path, existing_envelope(real, path), policy.open)
        after = None if opened is None else _changed(real, path, opened.dek, policy, change)
        if after is not None:
            return after
    raise changed_meanwhile(real)


def _changed(
    real: str, path: str, dek: bytes, policy: OpenPolicy, change: Callable[[Document], Document]
) -> Document | None:
    """Write the change, or return None where the file has another DEK by now."""
    with locked(real):
        envelope = locked_envelope(real)
        if not is_dek_of(envelope, dek):
            return None
        policy.check(envelope, path=path)
        before = document_of(unlock(envelope, dek))
        after = change(before)
        if after != before:
            sealed = seal_again(envelope, write_payload(after), dek=dek)
            replace_file(real, encode(sealed))
            policy.remember_saved(sealed, dek, path=path)
            emit("saved", path=real, header=sealed.header)
    return after


def create_document(path: str | os.PathLike[str], policy: OpenPolicy, document: Document) -> None:
    """Write a new sealed file under the trusted keys, each of which wraps the DEK and unwraps it.

    Raises:
        StorageError: The file exists, or cannot be written.
        SettingsError, PluginError, ProviderError: A key cannot be used.
        DecryptionError: A key can wrap but not unwrap.
    """
    real, path = resolved(path), os.fspath(path)
    with locked(real):
        if os.path.lexists(real):
            raise StorageError(f"{path!r} already exists")
        policy.require_allowed(policy.keys or (), path=path)
        new = wrap_and_verify_new_dek(policy.keys or (), policy.open_kek, context=policy.context)
        envelope = seal(write_payload(document), new)
        create_file(real, encode(envelope))
        policy.remember_saved(envelope, new.dek, path=path, is_new=True)
        emit("saved", path=real, header=envelope.header)


def with_new_profile(document: Document, name: str, config: Mapping[str, str]) -> Document:
    """Return the document with one more profile, which is active if it is the first.

    A configuration without profiles becomes the profile ``_default``, and stays the active one.

    Raises:
        SettingsError: The name is invalid or taken.
    """
    check_profile_name(name)
    document = _in_profiles(document)
    if name in document.profiles:
        raise SettingsError(
            f"profile {name!r} already exists",
            hint="choose another name, or delete it with: ksm-storage profile delete PATH NAME",
        )
    profiles = {**document.profiles, name: dict(config)}
    if len(profiles) > 2:
        return Document(profiles, document.settings)
    # The only profile needs no mark to be the one that is used; beside a second one it does.
    return Document(profiles, {ACTIVE_PROFILE: next(iter(profiles)), **document.settings})


def without_profile(document: Document, name: str) -> Document:
    """Return the document without a profile; if it was active, none is then.

    Raises:
        SettingsError: The profile does not exist.
    """
    require_profile(document, name)
    profiles = {other: config for other, config in document.profiles.items() if other != name}
    settings = dict(document.settings)
    if settings.get(ACTIVE_PROFILE) == name:
        del settings[ACTIVE_PROFILE]
    return Document(profiles, settings)


def with_active_profile(document: Document, name: str) -> Document:
    """Return the document with another profile active.

    Raises:
        SettingsError: The profile does not exist.
    """
    require_profile(document, name)
    return document._replace(settings={**document.settings, ACTIVE_PROFILE: name})


def require_profile(document: Document, name: str) -> None:
    """Refuse a profile that does not exist.

    Raises:
        SettingsError: It does not exist; the hint lists those that do.
    """
    if name == UNNAMED or name not in document.profiles:
        names = ", ".join(profile for profile in document.profiles if profile != UNNAMED)
        raise SettingsError(
            f"profile {name!r} not found", hint=f"available profiles: {names or 'none'}"
        )


def _in_profiles(document: Document) -> Document:
    if not document.is_single:
        return document
    config = document.profiles[UNNAMED]
    if not config:
        return Document({})
    return Document({DEFAULT_PROFILE: config}, {ACTIVE_PROFILE: DEFAULT_PROFILE})
