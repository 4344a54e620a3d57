"""The recovery secret as its owner keeps it: 24 words on paper, or a file under a passphrase.

The words are BIP-39 (English) with a checksum. The file is encrypted with a memory-hard function.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import os
import re
from functools import cache
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from ..plugin import DecryptionError, SettingsError, shown_path
from .recovery_key import SCHEME, SECRET_BYTES, RecoveryKey

if TYPE_CHECKING:
    from mnemonic import Mnemonic

WORDS = 24

_PER_LINE = 6
# The printed sheet also holds the words' numbers and the key's URI.
_NO_WORD = re.compile(r"\d+[.):]?|recovery://\S+")

MIN_PASSPHRASE = 12

_FIRST_LINE = "ksm-storage recovery file v1"
_MAX_BYTES = 4_096
_SALT_BYTES = 16
_KEY_BYTES = 32
_LINES = 4
# 128 MiB and about half a second. The cost belongs to the format version and is not written in
# the file: whoever can change the file must not be able to exhaust a reader's memory.
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**17, 8, 1
# The key derives from a salt that is random for each file, so it encrypts one message only.
_NONCE = bytes(12)


def words_of(secret: bytes) -> list[str]:
    """Return the words that encode a secret of 32 bytes."""
    return _list().to_mnemonic(secret).split()


def sheet(words: list[str]) -> str:
    """Return the words with their numbers, in lines to be written down."""
    numbered = [f"{number:>2} {word:<9}" for number, word in enumerate(words, 1)]
    lines = [numbered[start : start + _PER_LINE] for start in range(0, len(words), _PER_LINE)]
    return "\n".join(" ".join(line).rstrip() for line in lines)


def secret_of(text: str) -> bytes:
    """Return the secret that words encode; case, line ends and numbers do not matter.

    Raises:
        SettingsError: They are not 24 words of the list, or their checksum is wrong. A wrong word
            is named by its position only.
    """
    # Some editors start a file with a byte order mark.
    typed = text.removeprefix("\ufeff").lower().split()
    words = [word for word in typed if not _NO_WORD.fullmatch(word)]
    if len(words) != WORDS:
        raise SettingsError(
            f"expected {WORDS} recovery words, found {len(words)}",
            hint="enter all words of the sheet, in order",
        )
    known = set(_list().wordlist)
    wrong = [str(place) for place, word in enumerate(words, 1) if word not in known]
    if wrong:
        raise SettingsError(
            f"not in the word list: recovery word {', '.join(wrong)}",
            hint="compare with the sheet; the first four letters of each word are unique",
        )
    secret = _entropy(words)
    if secret is None:
        raise SettingsError(
            "the checksum of the recovery words is wrong",
            hint="compare with the sheet: a word is wrong, or two words are swapped",
        )
    return secret


def _entropy(words: list[str]) -> bytes | None:
    try:
        return bytes(_list().to_entropy(words))
    # The library's exception may hold words, so it does not become a cause.
    except (ValueError, LookupError):
        return None


@cache
def _list() -> Mnemonic:
    # Loaded with the first words: files with a recovery key are sealed and opened without them.
    from mnemonic import Mnemonic

    return Mnemonic("english")


def format_recovery_file(key: RecoveryKey, secret: bytes, passphrase: str) -> bytes:
    """Return the content of a recovery file.

    Raises:
        SettingsError: The passphrase is too short.
    """
    if len(passphrase) < MIN_PASSPHRASE:
        raise SettingsError(
            f"the passphrase must be at least {MIN_PASSPHRASE} characters",
            hint="use several unrelated words",
        )
    salt = os.urandom(_SALT_BYTES)
    head = f"{_FIRST_LINE}\nkey: {SCHEME}://{key.key_id}\nsalt: {_text(salt)}\n"
    sealed = _cipher(passphrase, salt).encrypt(_NONCE, secret, head.encode("ascii"))
    return f"{head}sealed: {_text(sealed)}\n".encode("ascii")


def read_recovery_file(path: str) -> str:
    """Return the text of a recovery file; it is checked when it is opened.

    Raises:
        SettingsError: The file does not exist or cannot be read.
    """
    try:
        with open(path, "rb") as file:
            raw = file.read(_MAX_BYTES).removeprefix(codecs.BOM_UTF8)
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "not a valid file name"
        raise SettingsError(
            f"cannot read the recovery file {shown_path(path)}: {why}",
            hint="give the path of the file that 'ksm-storage recovery create' wrote",
        ) from exc
    return raw.decode("ascii", errors="replace")


def open_recovery_file(text: str, passphrase: str) -> bytes:
    """Return the secret of a recovery file.

    Raises:
        SettingsError: The text is not a recovery file.
        DecryptionError: The passphrase is wrong, or the file was altered.
    """
    # A mail program or an editor may have changed the line ends. The content is verified below.
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    if len(lines) != _LINES or lines[0] != _FIRST_LINE:
        raise _not_a_recovery_file()
    head = "\n".join(lines[:3]) + "\n"
    salt, sealed = _bytes(lines[2], "salt: "), _bytes(lines[3], "sealed: ")
    if len(salt) != _SALT_BYTES or len(sealed) != SECRET_BYTES + 16:
        raise _not_a_recovery_file()
    try:
        return _cipher(passphrase, salt).decrypt(_NONCE, sealed, head.encode("ascii"))
    except (InvalidTag, UnicodeEncodeError) as exc:
        raise DecryptionError(
            "cannot open the recovery file: wrong passphrase, or altered data",
            hint="use the passphrase that was chosen at 'ksm-storage recovery create'",
        ) from exc


def _cipher(passphrase: str, salt: bytes) -> AESGCM:
    function = Scrypt(salt, _KEY_BYTES, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P)
    return AESGCM(function.derive(passphrase.encode("utf-8")))


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _bytes(line: str, name: str) -> bytes:
    if not line.startswith(name):
        raise _not_a_recovery_file()
    try:
        return base64.b64decode(line.removeprefix(name), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise _not_a_recovery_file() from exc


def _not_a_recovery_file() -> SettingsError:
    return SettingsError(
        "not a recovery file, or damaged",
        hint="give the file that 'ksm-storage recovery create NAME --file FILE' wrote",
    )
