"""The provider ``recovery``: a KEK whose secret is kept on paper or in a safe, off the machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag

from ..plugin import (
    DEK_BYTES,
    Aad,
    DecryptionError,
    KeyNotFoundError,
    KeyStateError,
    KeyWrapper,
    Option,
    Settings,
    SettingsError,
    WrappedDek,
    hookimpl,
)
from .hpke import ALGORITHM, PUBLIC_KEY_BYTES, TAG_BYTES, open_with, seal_to
from .recovery_key import SCHEME, RecoveryKey, private_key

if TYPE_CHECKING:
    from ..contract.abilities import KeyDescription

_INFO = b"ksm-storage recovery wrap v1"
_CIPHERTEXT_BYTES = PUBLIC_KEY_BYTES + DEK_BYTES + TAG_BYTES


@hookimpl
def key_wrapper_options() -> Sequence[Option]:
    """Declare the two ways to give the secret; wrapping needs neither."""
    return [
        Option("words", "The 24 recovery words; needed only to open.", secret=True),
        Option("file", "Path of a recovery file, instead of the words."),
        Option("passphrase", "The passphrase of the recovery file.", secret=True),
    ]


@hookimpl
def open_key_wrapper(key_id: str, settings: Settings) -> KeyWrapper:
    """Open the key wrapper of one recovery key; the secret is read when it unwraps."""
    return RecoveryKek(RecoveryKey.parse(key_id), lambda: given_secret(settings))


class RecoveryKek:
    """Wrap to the public part of a recovery key; unwrap if its secret is given."""

    binds_aad = True

    def __init__(self, key: RecoveryKey, secret: Callable[[], bytes]) -> None:
        self._key = key
        self._secret = secret

    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        """Encrypt the DEK; the secret is not needed."""
        try:
            sealed = seal_to(self._key.public_key, dek, info=_INFO, aad=bytes(aad))
        except ValueError as exc:
            raise KeyStateError(
                "the recovery key is not a valid public key",
                hint="create another one with: ksm-storage recovery create NAME",
            ) from exc
        return WrappedDek(self._key.key_id, ALGORITHM, sealed)

    def unwrap(self, wrapped: WrappedDek, *, aad: Aad) -> bytes:
        """Decrypt the DEK.

        Raises:
            KeyNotFoundError: The secret is not given, which is the normal case.
            DecryptionError: Another secret, another AAD, or altered ciphertext.
        """
        if wrapped.algorithm != ALGORITHM:
            raise DecryptionError(f"unsupported wrapping algorithm {wrapped.algorithm!r}")
        if wrapped.key_id != self._key.key_id:
            raise DecryptionError("the data key was wrapped under another key")
        if len(wrapped.ciphertext) != _CIPHERTEXT_BYTES:
            raise DecryptionError("the wrapped data key has the wrong length")
        secret = self._secret()
        if RecoveryKey.of(self._key.name, secret) != self._key:
            raise DecryptionError(
                f"the recovery secret does not belong to {self._key.name!r}",
                hint="use the sheet or file of the key that 'ksm-storage inspect' shows",
            )
        private = private_key(self._key.name, secret)
        try:
            return open_with(private, wrapped.ciphertext, info=_INFO, aad=bytes(aad))
        except (InvalidTag, ValueError) as exc:
            raise DecryptionError(
                "the wrapped data key does not decrypt: another context or altered data"
            ) from exc

    def describe_key(self) -> KeyDescription:
        """Describe the key: enabled if its secret is given, otherwise in an unknown state."""
        from ..contract.abilities import KeyDescription

        described = KeyDescription(
            self._key.key_id, "enabled", algorithm="X25519", protection="OFFLINE", public=True
        )
        try:
            self._secret()
        except KeyNotFoundError:
            return replace(described, state="unknown", state_name="kept offline")
        return described

    def wrapping_version(self, wrapped: WrappedDek, *, aad: Aad) -> str | None:  # noqa: ARG002
        """Return None: a recovery key has no versions."""
        return None

    def close(self) -> None:
        """Do nothing: no secret is held between calls."""


def given_secret(settings: Settings) -> bytes:
    """Return the recovery secret from the settings.

    Raises:
        KeyNotFoundError: Neither words nor a file are given.
        SettingsError, DecryptionError: They are invalid.
    """
    words, path = settings.text("words"), settings.text("file")
    if words is not None and path is not None:
        raise SettingsError(f"the settings 'words' and 'file' of {SCHEME} cannot be combined")
    # Loaded only with a secret: every file that has a recovery key is opened without one.
    if words is not None:
        from .recovery_secret import secret_of

        return secret_of(words)
    if path is not None:
        from .recovery_secret import open_recovery_file, read_recovery_file

        passphrase = settings.required_text("passphrase")
        return open_recovery_file(read_recovery_file(path), passphrase)
    raise KeyNotFoundError(
        "the recovery key's secret is not given",
        hint="with its words or its file at hand, run: ksm-storage recovery use PATH --key URI",
    )
