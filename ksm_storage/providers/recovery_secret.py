"""The recovery secret as its owner keeps it: words, shares of words, or a file with a passphrase.

The 24 words are BIP-39 (English), the shares SLIP-39; both have checksums. The file is encrypted
under a memory-hard function of the passphrase.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import os
import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from ..errors import PluginLoadError
from ..plugin import DecryptionError, SettingsError, shown_path
from .recovery_key import SCHEME, SECRET_BYTES, RecoveryKey

if TYPE_CHECKING:
    from mnemonic import Mnemonic

WORDS = 24
SHARE_WORDS = 33
MAX_SHARES = 16

PER_LINE = 6
# The printed sheet also holds the words' numbers, the key's URI and a heading for each share.
_NO_WORD = re.compile(r"\d+[.):]?|recovery://\S+")
_HEADING = re.compile(r"^\s*#.*", re.MULTILINE)

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


def sheet(words: Sequence[str], *, per_line: int = PER_LINE) -> str:
    """Return the words with their numbers, in lines to be written down."""
    numbered = [f"{number:>2} {word:<9}" for number, word in enumerate(words, 1)]
    lines = [numbered[start : start + per_line] for start in range(0, len(words), per_line)]
    return "\n".join(" ".join(line).rstrip() for line in lines)


def shares_of(secret: bytes, *, needed: int, total: int) -> list[list[str]]:
    """Split a secret into shares of 33 words, any ``needed`` of which restore it.

    Raises:
        SettingsError: Fewer than two are needed, fewer are made than needed, or more than 16.
    """
    if not 2 <= needed <= total <= MAX_SHARES:
        raise SettingsError(
            f"cannot split the secret into {total} shares with a threshold of {needed}",
            hint=f"2 to {MAX_SHARES} shares, and at least 2 must be needed: --shares 2/3",
        )
    from shamir_mnemonic import generate_mnemonics

    # No passphrase: the secret is random, so stretching would protect nothing.
    (group,) = generate_mnemonics(1, [(needed, total)], secret, iteration_exponent=0)
    return [mnemonic.split() for mnemonic in group]


def share_sheets(shares: Sequence[Sequence[str]], *, needed: int, per_line: int = PER_LINE) -> str:
    """Return all shares with a heading each, to be written down on separate sheets."""
    return "\n".join(
        f"# share {number} of {len(shares)}, any {needed} are enough\n"
        f"{sheet(words, per_line=per_line)}"
        for number, words in enumerate(shares, 1)
    )


def secret_of(text: str) -> bytes:
    """Return the secret that words or shares encode; case, line ends and numbers do not matter.

    Raises:
        SettingsError: They are not 24 words or enough shares of one set, a word is not in the
            list, or a checksum is wrong. A wrong word is named by its position only.
    """
    words = _words_in(text)
    if len(words) == WORDS:
        return _secret_of_words(words)
    shares = _shares_in(words)
    missing = _missing(shares)
    if missing:
        needed = shares[0].needed
        raise SettingsError(
            f"{needed} different shares are needed, found {needed - missing}",
            hint="enter the words of several shares one after another, each share once",
        )
    secret = _combined(shares)
    if secret is None:
        raise SettingsError(
            "the shares cannot be combined: at least one was altered or made for another key",
            hint="try another combination of shares of the same set",
        )
    return secret


def missing_shares(text: str) -> int:
    """Return how many shares are still missing beside those in the text; 0 for 24 words.

    Raises:
        SettingsError: As for :func:`secret_of`.
    """
    words = _words_in(text)
    return 0 if len(words) == WORDS else _missing(_shares_in(words))


def _words_in(text: str) -> list[str]:
    # Some editors start a file with a byte order mark.
    typed = _HEADING.sub("", text.replace("\ufeff", "")).lower().split()
    return [word for word in typed if not _NO_WORD.fullmatch(word)]


def _secret_of_words(words: list[str]) -> bytes:
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


def _shares_in(words: Sequence[str]) -> list[_Share]:
    if not words or len(words) % SHARE_WORDS:
        raise SettingsError(
            f"expected {WORDS} recovery words or shares of {SHARE_WORDS} words, found {len(words)}",
            hint="enter all words of the sheet, in order",
        )
    from shamir_mnemonic.wordlist import WORDLIST

    known = set(WORDLIST)
    parts = [words[start : start + SHARE_WORDS] for start in range(0, len(words), SHARE_WORDS)]
    shares: list[_Share] = []
    for number, part in enumerate(parts, 1):
        wrong = [str(place) for place, word in enumerate(part, 1) if word not in known]
        if wrong:
            raise SettingsError(
                f"not in the word list: word {', '.join(wrong)} of share {number}",
                hint="compare with the sheet; the first four letters of each word are unique",
            )
        share = _share(part)
        if share is None:
            raise SettingsError(
                f"the checksum of share {number} is wrong",
                hint="compare with the sheet: a word is wrong, or two words are swapped",
            )
        shares.append(share)
    _refuse_other_sets(shares)
    return shares


def _refuse_other_sets(shares: Sequence[_Share]) -> None:
    # The exponent is part of what the shares say, and each step doubles the time to read them.
    if any(share.groups != 1 or share.exponent != 0 for share in shares):
        raise SettingsError(
            "the shares are not those of a recovery key",
            hint="enter the shares that 'ksm-storage recovery create NAME --shares' printed",
        )
    if len({share.of_set for share in shares}) > 1:
        raise SettingsError(
            "the shares belong to different sets",
            hint="the shares of one set begin with the same three words",
        )


class _Share(NamedTuple):
    """Hold what one share says of itself, and its words."""

    of_set: tuple[int, ...]
    groups: int
    exponent: int
    needed: int
    number: int
    mnemonic: str


def _missing(shares: Sequence[_Share]) -> int:
    return max(0, shares[0].needed - len({share.number for share in shares}))


def _share(words: Sequence[str]) -> _Share | None:
    from shamir_mnemonic import MnemonicError, Share

    mnemonic = " ".join(words)
    try:
        share = Share.from_mnemonic(mnemonic)
    # The library's exception holds words, so it does not become a cause.
    except MnemonicError:
        return None
    return _Share(
        tuple(share.group_parameters()),
        share.group_count,
        share.iteration_exponent,
        share.member_threshold,
        share.index,
        mnemonic,
    )


def _combined(shares: Sequence[_Share]) -> bytes | None:
    from shamir_mnemonic import MnemonicError, combine_mnemonics

    # The library takes exactly as many as are needed.
    different = {share.number: share.mnemonic for share in shares}
    try:
        return bytes(combine_mnemonics(list(different.values())[: shares[0].needed]))
    except MnemonicError:
        return None


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
    head = f"{_FIRST_LINE}\nkey: {SCHEME}://{key.public_id}\nsalt: {_text(salt)}\n"
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
    try:
        function = Scrypt(salt, _KEY_BYTES, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P)
    except UnsupportedAlgorithm as exc:
        raise PluginLoadError(
            "this build of the cryptography package has no scrypt, which recovery files need",
            hint="use the recovery words; where only FIPS algorithms are allowed, use a second key "
            "of another provider instead",
        ) from exc
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
