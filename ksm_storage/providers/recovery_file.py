"""The recovery secret in a file, encrypted to a passphrase with a memory-hard function."""

from __future__ import annotations

import base64
import binascii
import codecs
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from ..plugin import DecryptionError, SettingsError, shown_path
from .recovery_key import SCHEME, SECRET_BYTES, RecoveryKey

MIN_PASSPHRASE = 12

_FIRST_LINE = "ksm-storage recovery file v1"
_MAX_BYTES = 4_096
_SALT_BYTES = 16
_KEY_BYTES = 32
_LINES = 4
# 128 MiB and about half a second. The cost is a part of the form's version and not written in
# the file: who can change the file must not be able to make a reader fill its memory.
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**17, 8, 1
# The key comes from a salt that is drawn for this file, so it seals this one message.
_NONCE = bytes(12)


def format_recovery_file(key: RecoveryKey, secret: bytes, passphrase: str) -> bytes:
    """Return the content of a recovery file.

    Raises:
        SettingsError: The passphrase is too short.
    """
    if len(passphrase) < MIN_PASSPHRASE:
        raise SettingsError(
            f"the passphrase is shorter than {MIN_PASSPHRASE} characters",
            hint="take several words that nobody else would put together",
        )
    salt = os.urandom(_SALT_BYTES)
    head = f"{_FIRST_LINE}\nkey: {SCHEME}://{key.key_id}\nsalt: {_text(salt)}\n"
    sealed = _cipher(passphrase, salt).encrypt(_NONCE, secret, head.encode("ascii"))
    return f"{head}sealed: {_text(sealed)}\n".encode("ascii")


def read_recovery_file(path: str) -> str:
    """Return the text of a recovery file, which is checked when it is opened.

    Raises:
        SettingsError: There is no such file, or it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            raw = file.read(_MAX_BYTES).removeprefix(codecs.BOM_UTF8)
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "no file can have that name"
        raise SettingsError(
            f"cannot read the recovery file {shown_path(path)}: {why}",
            hint="give the path of the file that recovery create wrote",
        ) from exc
    return raw.decode("ascii", errors="replace")


def open_recovery_file(text: str, passphrase: str) -> bytes:
    """Return the secret of a recovery file.

    Raises:
        SettingsError: The text is no recovery file.
        DecryptionError: The passphrase is another one, or the file was altered.
    """
    # A mail or an editor may have changed the ends of its lines. What was sealed is checked below.
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    if len(lines) != _LINES or lines[0] != _FIRST_LINE:
        raise _no_recovery_file()
    head = "\n".join(lines[:3]) + "\n"
    salt, sealed = _bytes(lines[2], "salt: "), _bytes(lines[3], "sealed: ")
    if len(salt) != _SALT_BYTES or len(sealed) != SECRET_BYTES + 16:
        raise _no_recovery_file()
    try:
        return _cipher(passphrase, salt).decrypt(_NONCE, sealed, head.encode("ascii"))
    except (InvalidTag, UnicodeEncodeError) as exc:
        raise DecryptionError(
            "the recovery file does not open: another passphrase, or altered data",
            hint="try again; the passphrase is the one that 'recovery create' asked for",
        ) from exc


def _cipher(passphrase: str, salt: bytes) -> AESGCM:
    function = Scrypt(salt, _KEY_BYTES, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P)
    return AESGCM(function.derive(passphrase.encode("utf-8")))


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _bytes(line: str, name: str) -> bytes:
    if not line.startswith(name):
        raise _no_recovery_file()
    try:
        return base64.b64decode(line.removeprefix(name), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise _no_recovery_file() from exc


def _no_recovery_file() -> SettingsError:
    return SettingsError(
        "the recovery file is none, or damaged",
        hint="give the file that 'ksm-storage recovery create NAME --file FILE' wrote",
    )
