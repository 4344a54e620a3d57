"""The provider ``os-keyring``: a KEK kept in the operating system's own store of secrets."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
from collections.abc import Sequence

from ..contract.key_uri import KeyUri
from ..errors import KsmStorageError
from ..keys.setting_sources import Arguments, gather_settings
from ..plugin import (
    KeyNotFoundError,
    KeyStateError,
    KeyWrapper,
    Option,
    Settings,
    SettingsError,
    hookimpl,
)
from .aes_gcm_wrapper import KEK_BYTES, AesGcmWrapper
from .creation_lock import creating
from .native_store import AUTO, BACKENDS, NativeStore
from .prompting import NEVER, PROMPTS, WHEN_INTERACTIVE, may_prompt

SCHEME = "os-keyring"
SERVICE = "ksm-storage"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@hookimpl
def key_wrapper_options() -> Sequence[Option]:
    """Declare which native store is used, and whether it may ask the user something."""
    return [
        Option(
            "backend",
            "The native store: the system's own by default; no third-party store is ever used.",
            default=AUTO,
            choices=(AUTO, *BACKENDS),
        ),
        Option(
            "prompt",
            "Whether a locked store may ask to be unlocked; only where a terminal is attached.",
            default=WHEN_INTERACTIVE,
            choices=PROMPTS,
        ),
    ]


@hookimpl
def open_key_wrapper(key_id: str, settings: Settings) -> KeyWrapper:
    """Open the key wrapper of one KEK; the store is asked when the KEK is used."""
    if not _NAME.fullmatch(key_id):
        raise SettingsError(
            f"{key_id!r} is not a name for a key in the OS keyring",
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


def check_usable(arguments: Arguments | None = None) -> None:
    """Ask the OS keyring whether it can be used now; takes under two seconds and never prompts.

    Raises:
        PluginLoadError: The package ``keyring`` is not installed.
        UnavailableError: There is no store, it is locked, or it does not answer.
        SettingsError: A setting of ``os-keyring`` cannot be used.
    """
    uri = KeyUri(SCHEME, "any")
    settings = gather_settings(uri, key_wrapper_options(), arguments)
    NativeStore(settings.required_text("backend"), prompt=False).check()


def is_usable(arguments: Arguments | None = None) -> bool:
    """Tell whether :func:`check_usable` finds nothing to report."""
    try:
        check_usable(arguments)
    except SettingsError:
        raise
    except KsmStorageError:
        return False
    return True


class KeyringKek:
    """Hold the name of a KEK of 32 random bytes that lies in the store, in base64."""

    def __init__(self, name: str, store: NativeStore) -> None:
        self._name = name
        self._store = store

    def read(self) -> bytes:
        """Return the KEK.

        Raises:
            KeyNotFoundError: The store has no such entry; it is never made here.
            KeyStateError: The entry is not what this provider wrote.
        """
        kek = self._read_if_there()
        if kek is None:
            raise KeyNotFoundError(
                f"the OS keyring has no entry {self._name!r} of {SERVICE!r}",
                hint="unwrap as the user and on the machine that wrapped, or restore the keyring",
            )
        return kek

    def read_or_create(self) -> bytes:
        """Return the KEK, making it where there is none yet."""
        kek = self._read_if_there()
        if kek is not None:
            return kek
        # Without the lock two processes could each make one, and the second would overwrite the
        # first, under which an envelope may have been sealed by then.
        with creating(self._name):
            return self._read_if_there() or self._create()

    def _create(self) -> bytes:
        kek = os.urandom(KEK_BYTES)
        self._store.write(SERVICE, self._name, base64.b64encode(kek).decode("ascii"))
        # A store that drops what it is given must not be found out when the KEK is needed.
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
                f"the entry {self._name!r} of {SERVICE!r} in the OS keyring is no key of "
                "ksm-storage",
                hint="restore the entry, or remove it if nothing was sealed under it",
            )
        return kek


def _store(settings: Settings) -> NativeStore:
    return NativeStore(
        settings.required_text("backend"), prompt=may_prompt(settings.text("prompt") or NEVER)
    )
