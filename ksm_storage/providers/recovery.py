"""The provider ``recovery``: a KEK whose secret is kept on paper or in a safe, off the machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..plugin import (
    DEK_BYTES,
    Aad,
    DecryptionError,
    KeyNotFoundError,
    KeyWrapper,
    Option,
    Settings,
    SettingsError,
    WrappedDek,
)
from .recovery_key import (
    ALGORITHM,
    PUBLIC_KEY_BYTES,
    SCHEME,
    RecoveryKey,
    open_with,
    public_key,
    seal_to,
)

if TYPE_CHECKING:
    from ..contract.abilities import KeyDescription

_ENCAPSULATED_BYTES = 1_120
_TAG_BYTES = 16
_CIPHERTEXT_BYTES = PUBLIC_KEY_BYTES + _ENCAPSULATED_BYTES + DEK_BYTES + _TAG_BYTES


def key_wrapper_options() -> Sequence[Option]:
    """Declare the ways to give the secret; wrapping needs none of them."""
    return [
        Option("words", "The 24 recovery words, or enough shares; only to open.", secret=True),
        Option("file", "Path of a recovery file, instead of the words."),
        Option("passphrase", "The passphrase of the recovery file.", secret=True),
    ]


def open_key_wrapper(key_id: str, settings: Settings) -> KeyWrapper:
    """Open the key wrapper of one recovery key; the secret is read when it unwraps."""
    return RecoveryKek(RecoveryKey.parse(key_id), lambda: given_secret(settings))


def key_covers(trusted: str, key_id: str) -> bool:
    """Tell whether both name one key: by its public key, or by the fingerprint of that."""
    try:
        return RecoveryKey.parse(trusted).key_id == RecoveryKey.parse(key_id).key_id
    except SettingsError:
        return False


def newest_version(key_id: str, algorithm: str, ciphertext: bytes) -> str | None:
    """Return the key id with the public key, which the wrapped DEK contains.

    Raises:
        DecryptionError: It contains the public key of another key.
    """
    if algorithm != ALGORITHM:
        return None
    key = RecoveryKey.of_public(RecoveryKey.parse(key_id).name, ciphertext[:PUBLIC_KEY_BYTES])
    if key.key_id != key_id:
        raise DecryptionError("the wrapped data key contains the public key of another key")
    return key.public_id


class RecoveryKek:
    """Wrap to the public key of a recovery key; unwrap if its secret is given."""

    binds_aad = True

    def __init__(self, key: RecoveryKey, secret: Callable[[], bytes]) -> None:
        self._key = key
        self._secret = secret

    def wrap(self, dek: bytes, *, aad: Aad) -> WrappedDek:
        """Encrypt the DEK; the secret is not needed if the key id contains the public key.

        Raises:
            SettingsError: Only the fingerprint of the key is known, and the secret is not given.
            KeyStateError: The public key is invalid.
        """
        public = self._key.public
        if public is None:
            try:
                public = public_key(self._own_secret())
            except KeyNotFoundError as exc:
                raise SettingsError(
                    f"sealing under {self._key.name!r} needs its public key, not its fingerprint",
                    hint="give the whole URI that 'ksm-storage recovery create' printed",
                ) from exc
        sealed = seal_to(self._key.name, public, dek, aad=bytes(aad))
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
        secret = self._own_secret()
        if wrapped.ciphertext[:PUBLIC_KEY_BYTES] != public_key(secret):
            raise DecryptionError("the wrapped data key contains the public key of another key")
        return open_with(self._key.name, secret, wrapped.ciphertext, aad=bytes(aad))

    def describe_key(self) -> KeyDescription:
        """Describe the key: enabled if its secret is given, otherwise in an unknown state."""
        from ..contract.abilities import KeyDescription

        described = KeyDescription(
            self._key.key_id,
            "enabled",
            algorithm="ML-KEM-768 with X25519",
            protection="OFFLINE",
            public=True,
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

    def _own_secret(self) -> bytes:
        secret = self._secret()
        if RecoveryKey.of(self._key.name, secret).key_id != self._key.key_id:
            raise DecryptionError(
                f"the recovery secret does not belong to {self._key.name!r}",
                hint="use the sheet or file of the key that 'ksm-storage inspect' shows",
            )
        return secret


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
        hint="if you have its words or its file, run: ksm-storage recovery use PATH --key URI",
    )
