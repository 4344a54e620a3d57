"""The provider ``os-keyring``: a KEK kept in the operating system's own store of secrets."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..contract.key_wrapper import KeyUri
from ..errors import StorageError
from ..files.lock import locked
from ..keys.setting_sources import Arguments, gather_settings
from ..plugin import (
    KeyNotFoundError,
    KeyStateError,
    KeyWrapper,
    Option,
    Settings,
    SettingsError,
)
from .aes_gcm_wrapper import KEK_BYTES, AesGcmWrapper
from .native_store import AUTO, BACKENDS, NativeStore

SCHEME = "os-keyring"
SERVICE = "ksm-storage"
CREATION_WAIT_SECONDS = 30.0

NEVER = "never"
WHEN_INTERACTIVE = "when-interactive"
PROMPTS = (NEVER, WHEN_INTERACTIVE)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def key_wrapper_options() -> Sequence[Option]:
    """Declare which native store is used, and whether it may prompt the user."""
    return [
        Option(
            "backend",
            "The native store; default: the system's own. Third-party stores are never used.",
            default=AUTO,
            choices=(AUTO, *BACKENDS),
        ),
        Option(
            "prompt",
            "Whether a locked store may prompt for unlocking; only with a terminal attached.",
            default=WHEN_INTERACTIVE,
            choices=PROMPTS,
        ),
    ]


def open_key_wrapper(key_id: str, settings: Settings) -> KeyWrapper:
    """Open the key wrapper of one KEK; the store is accessed when the KEK is used."""
    if not _NAME.fullmatch(key_id):
        raise SettingsError(
            f"{key_id!r} is not a valid name for a key in the OS keyring",
            hint="use 1 to 64 letters, digits, dots, hyphens and underscores",
        )
    store = _store(settings)
    kek = KeyringKek(key_id, store)
    return AesGcmWrapper(
        key_id,
        for_wrap=kek.read_or_create,
        for_unwrap=kek.read,
        kept_in={"store": store.name, "entry": f"{key_id} of {SERVICE}"},
    )


def has_key(name: str, arguments: Arguments | None = None) -> bool:
    """Tell whether the OS keyring holds a key; takes under two seconds and never prompts.

    Raises:
        PluginLoadError: The package ``keyring`` is not installed.
        UnavailableError: The store does not exist, is locked, or does not answer.
        PermissionDeniedError: The store denied access.
        SettingsError: A setting of ``os-keyring`` is invalid.
    """
    settings = gather_settings(KeyUri(SCHEME, name), key_wrapper_options(), arguments)
    store = NativeStore(settings.required_text("backend"), prompt=False)
    return store.read(SERVICE, name) is not None


class KeyringKek:
    """Read a named KEK of 32 random bytes, kept in the store as base64, or create it."""

    def __init__(self, name: str, store: NativeStore) -> None:
        self._name = name
        self._store = store

    def read(self) -> bytes:
        """Return the KEK.

        Raises:
            KeyNotFoundError: The store has no such entry; it is never created here.
            KeyStateError: The entry was not written by this provider.
        """
        kek = self._read_if_there()
        if kek is None:
            raise KeyNotFoundError(
                f"the OS keyring has no entry {self._name!r} of {SERVICE!r}",
                hint="open the file as the user and on the machine that sealed it, or restore it",
            )
        return kek

    def read_or_create(self) -> bytes:
        """Return the KEK; create it if it does not exist."""
        kek = self._read_if_there()
        if kek is not None:
            return kek
        # Without the lock two processes could each create one, and the second would overwrite the
        # first, under which an envelope may have been sealed by then.
        with creating(self._name):
            return self._read_if_there() or self._create()

    def _create(self) -> bytes:
        kek = os.urandom(KEK_BYTES)
        self._store.write(SERVICE, self._name, base64.b64encode(kek).decode("ascii"))
        # A store that loses the entry must be noticed now, not when the KEK is needed.
        kept = self._read_if_there()
        if kept is None or not hmac.compare_digest(kept, kek):
            raise KeyStateError(f"the OS keyring did not keep the entry {self._name!r}")
        return kek

    def _read_if_there(self) -> bytes | None:
        text = self._store.read(SERVICE, self._name)
        if text is None:
            return None
        try:
            kek = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            kek = b""
        if len(kek) != KEK_BYTES:
            # No cause: its text could hold a part of the entry.
            raise KeyStateError(
                f"the entry {self._name!r} of {SERVICE!r} in the OS keyring is not a key of "
                "ksm-storage",
                hint="restore the entry, or delete it if nothing was sealed under it",
            )
        return kek


def _store(settings: Settings) -> NativeStore:
    return NativeStore(
        settings.required_text("backend"), prompt=may_prompt(settings.text("prompt") or NEVER)
    )


def may_prompt(choice: str) -> bool:
    """Tell whether a terminal is attached and the setting allows a prompt."""
    return choice == WHEN_INTERACTIVE and _is_terminal(sys.stdin) and _is_terminal(sys.stderr)


def _is_terminal(stream: object) -> bool:
    # Under pythonw the streams are None; a closed one raises.
    try:
        return bool(stream.isatty())  # type: ignore[attr-defined]  # None has none: caught
    except (AttributeError, ValueError):
        return False


@contextmanager
def creating(name: str) -> Iterator[None]:
    """Hold the user's lock for creating the named KEK.

    Raises:
        StorageError: Another process holds it for too long, or the lock cannot be created.
    """
    # Loaded to create a key: opening does without.
    from ..files.new_version import make_private_folder

    folder = _state_folder()
    try:
        make_private_folder(str(folder))
    except OSError as exc:
        raise StorageError(
            f"cannot create the folder {str(folder)!r} for a lock: {exc.strerror}",
            hint="a new key is created under a lock in the user's state folder; make it writable",
        ) from exc
    with locked(str(folder / f"os-keyring-{name}.lock"), timeout_seconds=CREATION_WAIT_SECONDS):
        yield


def _state_folder() -> Path:
    from platformdirs import user_state_path

    try:
        return user_state_path("ksm-storage", appauthor=False)
    except RuntimeError as exc:
        raise StorageError(
            "this user has no home folder for the lock under which a new key is created",
            hint="set HOME to a folder that this user owns",
        ) from exc
